// SPDX-License-Identifier: MIT OR Apache-2.0

//! MMU and caches, turned on before the first line of Rust: QEMU writes disk data through the
//! host's caches, and on CPUs without FEAT_S2FWB a guest that runs uncached would read stale
//! memory.
//!
//! Memory is identity-mapped in blocks of 1 GiB: RAM as normal write-back memory, everything else
//! as device memory, which is not executable. The initial map has what every virt machine has,
//! devices below 1 GiB and RAM from there to 2 GiB; [`map_ram`] and [`map_device`] add the rest
//! from the DTB. Addresses have 40 bits, enough for the PCI window at 512 GiB.
//!
//! Source: Arm ARM (DDI 0487), chapter D8 (VMSAv8-64), tables D8-46 and D8-48 for the descriptors.

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, MAIR_EL1, SCTLR_EL1, TCR_EL1};
use little_loader_core::units::{Bytes, Region};
use safe_mmio::UniqueMmioPointer;
use safe_mmio::fields::ReadPure;

const ENTRIES: usize = 512;
/// The number of GiB that can be mapped.
const BLOCKS: usize = 2 * ENTRIES;
const GIB_SHIFT: u32 = 30;

/// A descriptor that points to the next table.
const TABLE: u64 = 0b11;
/// A valid block: access flag set, readable and writable at EL1.
const BLOCK: u64 = 0b01 | 1 << 10;
/// Attribute 0 of MAIR_EL1, not executable.
const DEVICE_BLOCK: u64 = BLOCK | 0b11 << 53;
/// Attribute 1 of MAIR_EL1, inner shareable.
const NORMAL_BLOCK: u64 = BLOCK | 1 << 2 | 0b11 << 8;

/// Attribute 0: Device-nGnRnE. Attribute 1: normal, write-back, allocating on read and write.
const MAIR: u64 = MAIR_EL1::Attr1_Normal_Inner::WriteBack_NonTransient_ReadWriteAlloc.value
    | MAIR_EL1::Attr1_Normal_Outer::WriteBack_NonTransient_ReadWriteAlloc.value;

/// 40-bit addresses (T0SZ = 64 - 40), 4 KiB granule, cacheable inner-shareable table walks, no
/// upper half (TTBR1_EL1).
const TCR: u64 = TCR_EL1::T0SZ.val(64 - 40).value
    | TCR_EL1::IRGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
    | TCR_EL1::ORGN0::WriteBack_ReadAlloc_WriteAlloc_Cacheable.value
    | TCR_EL1::SH0::Inner.value
    | TCR_EL1::TG0::KiB_4.value
    | TCR_EL1::EPD1::DisableTTBR1Walks.value;

/// 48 bits, the largest physical address size with 4 KiB pages and no FEAT_LPA2.
const MAX_IPS: u64 = 0b101;

/// The SCTLR_EL1 bits that turn on the MMU, the data cache and the instruction cache.
pub(crate) const SCTLR_ON: u64 =
    SCTLR_EL1::M::Enable.value | SCTLR_EL1::C::Cacheable.value | SCTLR_EL1::I::Cacheable.value;

/// One table of 1 GiB blocks for each 512 GiB, and the root that points to them.
#[repr(C, align(4096))]
struct Tables {
    blocks: [[u64; ENTRIES]; 2],
    root: [u64; 8],
}

struct Shared(UnsafeCell<Tables>);

// SAFETY: only one CPU runs, and no exception handler uses the tables.
unsafe impl Sync for Shared {}

#[unsafe(link_section = ".page_tables")]
static TABLES: Shared = Shared(UnsafeCell::new(Tables {
    blocks: [[0; ENTRIES]; 2],
    root: [0; 8],
}));

const BLOCKS_SIZE: usize = size_of::<[[u64; ENTRIES]; 2]>();
const TABLES_SIZE: usize = BLOCKS_SIZE + size_of::<[u64; 8]>();

/// Turns on MMU and caches. Called by the reset code, without a stack, at EL1; clobbers x0 to x5.
#[unsafe(naked)]
#[unsafe(link_section = ".text.first")]
pub(crate) unsafe extern "C" fn enable() {
    naked_asm!(
        // Clear the tables. These stores bypass the caches.
        "   adrp   x0, {tables}",
        "   add    x0, x0, :lo12:{tables}",
        "   mov    x1, x0",
        "   mov    x2, #{tables_size}",
        "   add    x2, x2, x0",
        "0: stp    xzr, xzr, [x1], #16",
        "   stp    xzr, xzr, [x1], #16",
        "   stp    xzr, xzr, [x1], #16",
        "   stp    xzr, xzr, [x1], #16",
        "   cmp    x1, x2",
        "   b.lo   0b",

        // Devices below 1 GiB, RAM from there on; the root points to both tables of blocks.
        "   ldr    x1, ={device}",
        "   ldr    x3, ={normal} + (1 << {gib_shift})",
        "   stp    x1, x3, [x0]",
        "   add    x1, x0, #{table}",
        "   add    x3, x1, #{table_size}",
        "   add    x4, x0, #{blocks_size}",
        "   stp    x1, x3, [x4]",

        // Invalidate stale cache lines of the tables before the caches are on.
        "   dmb    sy",
        "   mrs    x1, ctr_el0",
        "   ubfx   x1, x1, #16, #4",
        "   mov    x3, #4",
        "   lsl    x3, x3, x1",
        "   mov    x1, x0",
        "0: dc     ivac, x1",
        "   add    x1, x1, x3",
        "   cmp    x1, x2",
        "   b.lo   0b",

        // Translation registers. The physical address size is the CPU's, up to 48 bits.
        "   ldr    x1, ={mair}",
        "   msr    mair_el1, x1",
        "   mrs    x1, id_aa64mmfr0_el1",
        "   and    x1, x1, #{pa_range_mask}",
        "   mov    x2, #{max_ips}",
        "   cmp    x1, x2",
        "   csel   x1, x1, x2, lo",
        "   ldr    x2, ={tcr}",
        "   orr    x2, x2, x1, lsl #{ips_shift}",
        "   msr    tcr_el1, x2",
        "   msr    ttbr0_el1, x4",
        "   tlbi   vmalle1",
        "   ic     iallu",
        "   dsb    sy",
        "   isb",

        "   mrs    x1, sctlr_el1",
        "   ldr    x2, ={sctlr_on}",
        "   orr    x1, x1, x2",
        "   msr    sctlr_el1, x1",
        "   isb",
        "   ret",
        tables = sym TABLES,
        tables_size = const TABLES_SIZE,
        table_size = const size_of::<[u64; ENTRIES]>(),
        blocks_size = const BLOCKS_SIZE,
        device = const DEVICE_BLOCK,
        normal = const NORMAL_BLOCK,
        gib_shift = const GIB_SHIFT,
        table = const TABLE,
        mair = const MAIR,
        tcr = const TCR,
        pa_range_mask = const ID_AA64MMFR0_EL1::PARange.mask,
        max_ips = const MAX_IPS,
        ips_shift = const TCR_EL1::IPS.shift,
        sctlr_on = const SCTLR_ON,
    )
}

/// Maps each GiB that overlaps the region as normal memory, unless it is already mapped. Addresses
/// beyond 1 TiB stay unmapped.
pub(crate) fn map_ram(region: Region) {
    map(region, NORMAL_BLOCK);
}

/// Whether all of the region is mapped as normal memory.
pub(crate) fn is_ram(region: Region) -> bool {
    is_mapped(region, NORMAL_BLOCK)
}

/// Maps the region as device memory where it is not mapped yet. `None` when a part of it is mapped
/// as normal memory or is beyond 1 TiB.
pub(crate) fn map_device(region: Region) -> Option<DeviceMemory> {
    map(region, DEVICE_BLOCK);
    is_mapped(region, DEVICE_BLOCK).then_some(DeviceMemory(region))
}

/// Device registers: a region that is mapped as device memory, so that accesses to it cannot touch
/// anything that Rust knows of. Only [`map_device`] constructs one. Whatever accesses the registers
/// consumes it, so each window has at most as many of these as entries in the device tree.
#[derive(Debug)]
pub(crate) struct DeviceMemory(Region);

impl DeviceMemory {
    /// Returns the addresses of the registers.
    pub(crate) fn region(&self) -> Region {
        self.0
    }

    /// Reads the register of four bytes at `offset`. `None` when it is not in the region.
    pub(crate) fn read(&self, offset: Bytes) -> Option<u32> {
        let mut registers = Self(self.0).slice::<ReadPure<u32>>()?;
        let register = registers.get(offset.0 as usize / size_of::<u32>())?;
        Some(register.read())
    }

    /// Splits off the first `length` bytes. `None` when there are fewer.
    pub(crate) fn split_at(self, length: Bytes) -> Option<(Self, Self)> {
        let first = Region::new(self.0.start(), length)?;
        let rest = Region::between(first.end(), self.0.end())?;
        Some((Self(first), Self(rest)))
    }

    /// Returns the registers at the start of the region, with the layout of `T`. `None` when the
    /// region is too short or not aligned for `T`.
    pub(crate) fn registers<T>(self) -> Option<UniqueMmioPointer<'static, T>> {
        let address = NonNull::new(self.0.start().0 as *mut T)?;
        if !address.is_aligned() || self.0.length().0 < size_of::<T>() as u64 {
            return None;
        }
        // SAFETY: the pointer is aligned, and all of `T` is in the region. The region stays mapped
        // as device memory: nothing unmaps it, and `map` does not change existing mappings. Only
        // one CPU runs, so even a window that the tree lists twice has only one access at a time.
        Some(unsafe { UniqueMmioPointer::new(address) })
    }

    /// Returns as many registers of type `T` as fit in the region. `None` when it is not aligned
    /// for `T`.
    pub(crate) fn slice<T>(self) -> Option<UniqueMmioPointer<'static, [T]>> {
        let address = NonNull::new(self.0.start().0 as *mut T)?;
        let count = self.0.length().0 as usize / size_of::<T>();
        if !address.is_aligned() {
            return None;
        }
        // SAFETY: as in `registers`.
        Some(unsafe { UniqueMmioPointer::new(NonNull::slice_from_raw_parts(address, count)) })
    }
}

fn map(region: Region, attributes: u64) {
    with_entries(region, |first, entries| {
        for (index, entry) in (first..).zip(entries) {
            if *entry == 0 {
                *entry = (index as u64) << GIB_SHIFT | attributes;
            }
        }
    });
    // TLBs do not hold invalid entries, so only the table walker has to see the new ones (Arm ARM,
    // D8.16).
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

fn is_mapped(region: Region, attributes: u64) -> bool {
    const ADDRESS: u64 = (1 << 48) - (1 << GIB_SHIFT);
    let is_below_limit = region.end().0 <= (BLOCKS as u64) << GIB_SHIFT;
    is_below_limit
        && with_entries(region, |_, entries| {
            entries.iter().all(|entry| *entry & !ADDRESS == attributes)
        })
}

/// Calls `act` with the number of the region's first GiB and the table entries of each GiB that
/// overlaps the region, as far as the tables reach.
fn with_entries<T>(region: Region, act: impl FnOnce(usize, &mut [u64]) -> T) -> T {
    // SAFETY: only one CPU runs, exception handlers do not call this, and neither does `act`: it is
    // one of the two closures above. The tables are mapped as normal memory.
    let tables = unsafe { &mut *TABLES.0.get() };
    let blocks = tables.blocks.as_flattened_mut();
    let gib = |address: u64| ((address >> GIB_SHIFT) as usize).min(BLOCKS);
    let first = gib(region.start().0);
    let end = gib(region.end().0.saturating_add((1 << GIB_SHIFT) - 1));
    act(first, &mut blocks[first.min(end)..end])
}
