// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the loader to the kernel's first instruction.
//!
//! On entry: kernel, initrd and DTB are in memory, and all DMA has stopped. On leaving, as Linux
//! requires (`Documentation/arch/arm64/booting.rst`, section 4): x0 holds the DTB's address and x1
//! to x3 are 0, MMU and data cache are off, interrupts are masked, and everything loaded is clean
//! to the point of coherency, with no stale lines in the instruction cache.

use core::arch::{asm, naked_asm};

use aarch64_cpu::asm::barrier;
use little_loader_core::cpu::registers::{CTR_EL0, field};
use little_loader_core::kernel::entry_level::ExceptionLevel;
use little_loader_core::units::Region;

use crate::boot::load_slot::Loaded;
use crate::cpu::el2::HVC_ENTER;
use crate::cpu::el3::SMC_ENTER;
use crate::cpu::mmu::SCTLR_ON;
use crate::machine::console::trace;
use crate::machine::device_tree::KernelDtb;

/// The number of cache lines cleaned per iteration. Under emulation every instruction counts, and a
/// 12 MiB kernel has 200,000 lines.
const LINES_PER_ITERATION: u64 = 8;

/// PSTATE.{D,A,I,F} as encoded in DAIFSet: debug exceptions, SError, IRQ and FIQ.
const DAIF_ALL: u64 = 0b1111;

/// The instruction that enters the kernel.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum KernelEntry {
    /// A branch: the kernel runs at EL1, as the loader does.
    Branch = 1,
    /// HVC to [`el2::handler`](crate::cpu::el2::handler): the kernel runs at EL2.
    Hvc = 2,
    /// SMC to [`el3::handler`](crate::cpu::el3::handler): the kernel runs at non-secure EL1.
    Smc = 3,
}

impl KernelEntry {
    /// Returns the instruction for a loader entered at `entered` and a kernel that runs at `level`.
    pub(crate) fn new(entered: ExceptionLevel, level: ExceptionLevel) -> Self {
        match (entered, level) {
            (ExceptionLevel::El3, _) => Self::Smc,
            (_, ExceptionLevel::El2) => Self::Hvc,
            _ => Self::Branch,
        }
    }
}

/// Enters the kernel of a loaded slot, with its DTB. The disk must be dropped before, so that
/// nothing writes to memory any more.
pub(crate) fn enter(entry: KernelEntry, loaded: &Loaded, dtb: &KernelDtb) -> ! {
    let (kernel, dtb) = (loaded.kernel(), dtb.region());
    for region in [Some(kernel), loaded.initrd(), Some(dtb)]
        .into_iter()
        .flatten()
    {
        trace!("trace: cleaning {region} to the point of coherency");
        clean_and_invalidate(region);
    }
    let (kernel, dtb) = (kernel.start(), dtb.start());
    trace!("trace: MMU and caches off, x0 = {dtb}, jump to {kernel}");
    // SAFETY: a `Loaded` is always a kernel that was checked and read completely, and a `KernelDtb`
    // a DTB that was edited for it; both are now clean to the point of coherency. `entry` comes
    // from the level that the loader was entered at.
    unsafe { jump(dtb.0, kernel.0, entry) }
}

/// Cleans and invalidates the region's data cache lines to the point of coherency (Arm ARM,
/// D7.5.9).
fn clean_and_invalidate(region: Region) {
    let line = data_cache_line();
    let iteration = line * LINES_PER_ITERATION;
    let mut address = region.start().0 / line * line;
    while region.end().0.saturating_sub(address) >= iteration {
        // SAFETY: cleaning and invalidating changes no data, and all lines hold bytes of the
        // region, which is mapped.
        unsafe {
            asm!(
                ".rept {lines}",
                "dc civac, {address}",
                "add {address}, {address}, {line}",
                ".endr",
                lines = const LINES_PER_ITERATION,
                address = inout(reg) address,
                line = in(reg) line,
                options(nostack),
            );
        }
    }
    while address < region.end().0 {
        // SAFETY: as above.
        unsafe { asm!("dc civac, {}", in(reg) address, options(nostack)) };
        address += line;
    }
    barrier::dsb(barrier::SY);
}

/// Returns the size in bytes of the smallest data cache line (CTR_EL0.DminLine, the binary
/// logarithm of the line's number of 4-byte words; Arm ARM, D19.2.34).
fn data_cache_line() -> u64 {
    let ctr: u64;
    // SAFETY: reading an identification register has no effect.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    4 << field(ctr, CTR_EL0::DminLine)
}

/// Turns off MMU and caches and enters the kernel.
///
/// # Safety
///
/// The CPU is at EL1, and RAM, including this code, is identity-mapped. A kernel starts at
/// `kernel`, and `dtb` is the address of its DTB; both are clean to the point of coherency, and no
/// device writes to memory. For [`KernelEntry::Hvc`] the loader was entered at EL2, for
/// [`KernelEntry::Smc`] at EL3, so that the handlers of these levels are in place.
#[unsafe(naked)]
unsafe extern "C" fn jump(dtb: u64, kernel: u64, entry: KernelEntry) -> ! {
    naked_asm!(
        "   msr    daifset, #{daif}",
        "   mrs    x4, sctlr_el1",
        "   ldr    x3, ={sctlr_on}",
        "   bic    x4, x4, x3",
        "   msr    sctlr_el1, x4",
        "   isb",
        "   ic     iallu",
        "   tlbi   vmalle1",
        "   dsb    sy",
        "   isb",
        "   cmp    x2, #{hvc}",
        "   b.eq   1f",
        "   b.hi   2f",
        "   mov    x4, x1",
        "   mov    x1, xzr",
        "   mov    x2, xzr",
        "   mov    x3, xzr",
        "   br     x4",
        "1: hvc    #{hvc_enter}",
        "2: smc    #{smc_enter}",
        daif = const DAIF_ALL,
        hvc = const KernelEntry::Hvc as u64,
        smc_enter = const SMC_ENTER,
        hvc_enter = const HVC_ENTER,
        sctlr_on = const SCTLR_ON,
    )
}
