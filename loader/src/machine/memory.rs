// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that the compiler does not know: the buffers that the linker script reserves, and RAM.
//!
//! On entry RAM is mapped from its start to 2 GiB. Nobody else makes references to memory by its
//! address: the device tree's bytes and those of kernel and initrd are lent here, after a look at
//! the map of the memory.

use core::ptr::slice_from_raw_parts_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use little_loader_core::tree::memory_map::{Memory, TooManyRegions};
use little_loader_core::units::{Addr, Bytes, Region};

use crate::cpu::mmu;

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __dma_start: u8;
    static __dma_end: u8;
    static __environment_start: u8;
    static __environment_end: u8;
}

fn between(start: *const u8, end: *const u8) -> Region {
    // The linker script defines the symbols in this order.
    Region::between(Addr(start as u64), Addr(end as u64)).unwrap_or_default()
}

/// The loader itself, with all its buffers.
pub(crate) fn loader() -> Region {
    between(&raw const __image_start, &raw const __image_end)
}

/// The pages for the rings of the disk.
pub(crate) fn dma() -> Region {
    between(&raw const __dma_start, &raw const __dma_end)
}

/// The buffer for all copies of the environment.
///
/// # Panics
///
/// The second time, since there is one.
pub(crate) fn take_environment_buffer() -> &'static mut [u8] {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    once(&IS_TAKEN);
    let buffer = between(&raw const __environment_start, &raw const __environment_end);
    // SAFETY: the linker script reserves this memory for the environment, in RAM that is mapped,
    // and this is the only reference that is ever made to it. Any bytes are valid.
    unsafe { bytes(buffer) }
}

/// The address of the DTB as the reset code got it, 0 where there was none. Only the reset code
/// makes one, once.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct DtbAddress(u64);

impl DtbAddress {
    fn or(self, default: Addr) -> Addr {
        if self.0 == 0 { default } else { Addr(self.0) }
    }
}

/// The memory of the DTB, the only RAM that is in use before its map is known. There is one, and
/// nothing else refers to its bytes: [`Ram`] lends no region that overlaps it.
#[derive(Debug)]
pub(crate) struct DtbMemory(Region);

impl DtbMemory {
    /// The first `length` bytes of RAM at the address that QEMU passed, or at `default` where it
    /// passed none; `most` bytes are mapped. `None` when that is not RAM, or the loader itself.
    pub(crate) fn at(
        passed: DtbAddress,
        default: Addr,
        length: Bytes,
        most: Bytes,
    ) -> Option<Self> {
        let start = passed.or(default);
        mmu::map_ram(Region::new(start, most)?);
        let mut memory = Self(Region::new(start, Bytes(0))?);
        memory.resize(length).then_some(memory)
    }

    /// Changes the length in bytes; tells whether that many are RAM, and none of them the loader's.
    pub(crate) fn resize(&mut self, length: Bytes) -> bool {
        let resized = Region::new(self.0.start(), length)
            .filter(|region| !region.overlaps(loader()) && mmu::is_ram(*region));
        self.0 = resized.unwrap_or(self.0);
        resized.is_some()
    }

    /// The addresses.
    pub(crate) fn region(&self) -> Region {
        self.0
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped RAM, as `resize` and `Ram::give_dtb` checked. Nothing else refers to it:
        // there is one of this type, and it is borrowed.
        unsafe { bytes(self.0) }
    }

    /// The bytes, to change.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { bytes(self.0) }
    }
}

/// The RAM of the machine, mapped, with what must not be overwritten: the loader, and what the
/// device tree reserves. There is one.
#[derive(Debug)]
pub(crate) struct Ram {
    map: Memory,
}

impl Ram {
    /// Maps the RAM that the device tree lists. The map comes with the machine that was read from
    /// it.
    ///
    /// # Errors
    ///
    /// When there are too many reservations to add the loader's own.
    ///
    /// # Panics
    ///
    /// The second time, since two could lend the same bytes.
    pub(crate) fn new(mut map: Memory) -> Result<Self, TooManyRegions> {
        static IS_MADE: AtomicBool = AtomicBool::new(false);
        once(&IS_MADE);
        for region in map.ram.as_slice() {
            mmu::map_ram(*region);
        }
        map.reserved.add(loader())?;
        Ok(Self { map })
    }

    /// The map, to find places in.
    pub(crate) fn map(&self) -> &Memory {
        &self.map
    }

    /// The bytes of a region. `None` unless all of it is mapped RAM, and none of it is reserved or
    /// the DTB's.
    pub(crate) fn bytes(&mut self, region: Region, dtb: &DtbMemory) -> Option<&mut [u8]> {
        if !self.is_free(region) || region.overlaps(dtb.0) {
            return None;
        }
        // SAFETY: the region is mapped RAM, and none of it is the loader's, which is reserved, or
        // the DTB's. What was lent before is given back: `self` is borrowed.
        Some(unsafe { bytes(region) })
    }

    /// Gives the DTB another place, with the bytes it has, as many as fit: the place overlaps its
    /// present one only where it starts at the same address. Tells whether that could be done.
    pub(crate) fn give_dtb(&mut self, dtb: &mut DtbMemory, place: Region) -> bool {
        if place.start() != dtb.0.start() {
            let Some(to) = self.bytes(place, dtb) else {
                return false;
            };
            let from = dtb.bytes();
            let length = from.len().min(to.len());
            to[..length].copy_from_slice(&from[..length]);
        } else if !self.is_free(place) {
            return false;
        }
        dtb.0 = place;
        true
    }

    fn is_free(&self, region: Region) -> bool {
        self.map.is_free(region) && mmu::is_ram(region)
    }
}

/// Panics where it was called with this flag before. One CPU runs: no exclusive access is needed.
fn once(was_here: &AtomicBool) {
    if was_here.load(Ordering::Relaxed) {
        panic!();
    }
    was_here.store(true, Ordering::Relaxed);
}

/// The bytes of a region.
///
/// # Safety
///
/// The region is RAM that is mapped, and nothing else refers to it for as long as the slice lives.
unsafe fn bytes<'a>(region: Region) -> &'a mut [u8] {
    let length = region.length().0 as usize;
    // SAFETY: the caller says that the region is mapped RAM with no other reference to it. Any
    // bytes are valid.
    unsafe { &mut *slice_from_raw_parts_mut(region.start().0 as *mut u8, length) }
}
