// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exception vectors of all levels.
//!
//! On entry: an exception, taken to the level of the vectors. On leaving: the handler of EL2 or EL3
//! has entered the kernel, or the exception has been reported and the machine powered off. No
//! exception returns.
//!
//! Source: Arm ARM (DDI 0487), D1.4.1 (vector offsets).

use core::arch::naked_asm;

use aarch64_cpu::registers::CurrentEL;

use crate::cpu::{el2, el3, exceptions};

/// The size in bytes of the omitted part of the table, its first four entries.
pub(crate) const SKIPPED: usize = 4 * ENTRY_SIZE;

const ENTRY_SIZE: usize = 128;

/// The vector table of EL1, EL2 and EL3, without unreachable entries: of sixteen, the second four
/// are for exceptions from the same level with its own stack pointer, and the third four for those
/// from a lower level in AArch64. Nothing runs with SP_EL0 or in AArch32, so the linker script puts
/// the Image header and the first code in place of the first [`SKIPPED`] bytes, and other code in
/// place of the last four entries. Each entry stores its index in x4 and branches to [`dispatch`].
///
/// # Safety
///
/// Must not be called: only the CPU enters here, through VBAR_ELx.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors")]
pub(crate) unsafe extern "C" fn vectors() {
    naked_asm!(
        "   .set   index, {skipped} / {entry_size}",
        "   .rept  8",
        "   .balign {entry_size}",
        "   mov    x4, #index",
        "   b      {dispatch}",
        "   .set   index, index + 1",
        "   .endr",
        skipped = const SKIPPED,
        entry_size = const ENTRY_SIZE,
        dispatch = sym dispatch,
    )
}

/// At EL2 and EL3, branches to the handler, which accepts the loader's own call; at EL1, reports
/// every exception. Nothing returns, so no registers are saved.
///
/// # Safety
///
/// Only the entries of the table branch here, with their index in x4.
#[unsafe(naked)]
unsafe extern "C" fn dispatch() -> ! {
    naked_asm!(
        "   mrs    x5, CurrentEL",
        "   cmp    x5, #(2 << {level_shift})",
        "   b.eq   {el2}",
        "   b.hi   {el3}",
        "   mrs    x1, esr_el1",
        "   mrs    x2, elr_el1",
        "   mrs    x3, far_el1",
        "   b      {stop}",
        level_shift = const CurrentEL::EL.shift,
        el2 = sym el2::handler,
        el3 = sym el3::handler,
        stop = sym exceptions::stop,
    )
}
