// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exception vectors of all levels.
//!
//! Source: Arm ARM (DDI 0487), D1.4.1 (vector offsets).

use core::arch::naked_asm;

use aarch64_cpu::registers::CurrentEL;

use crate::cpu::{el2, el3, exceptions};

/// The bytes of the entries that are left out at the start of the table.
pub(crate) const SKIPPED: usize = 4 * 128;

/// The vector table of EL1, EL2 and EL3, as much of its sixteen entries of 128 bytes as can be reached: those of an exception
/// from the same level on its own stack pointer, and from a lower level in AArch64. Nothing runs with SP_EL0 or in AArch32, so
/// in place of the first [`SKIPPED`] bytes the linker script puts the Image header and the first code, and other code in place of
/// the last four. Each entry keeps its index and leads to [`dispatch`].
#[unsafe(naked)]
#[unsafe(link_section = ".vectors")]
pub(crate) unsafe extern "C" fn vectors() {
    naked_asm!(
        "   .set   index, {skipped} / 128",
        "   .rept  8",
        "   .balign 128",
        "   mov    x4, #index",
        "   b      {dispatch}",
        "   .set   index, index + 1",
        "   .endr",
        skipped = const SKIPPED,
        dispatch = sym dispatch,
    )
}

/// EL2 and EL3 look for a call of the loader's own; at EL1 every exception is reported. No return: registers need not be
/// saved.
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
