// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exception vectors of all levels.
//!
//! On entry: an exception, taken at the level that it is for. On leaving: EL2 and EL3 have entered
//! the kernel, or the exception is reported and the power off. Nothing returns from an exception.
//!
//! Source: Arm ARM (DDI 0487), D1.4.1 (vector offsets).

use core::arch::naked_asm;

use aarch64_cpu::registers::CurrentEL;

use crate::cpu::{el2, el3, exceptions};

/// The size of the part of the table that is left out, in bytes: the first four entries.
pub(crate) const SKIPPED: usize = 4 * ENTRY_SIZE;

const ENTRY_SIZE: usize = 128;

/// The vector table of EL1, EL2 and EL3, without the entries that nothing can reach: of sixteen,
/// the second four are for exceptions from the same level on its own stack pointer, and the third
/// four for those from a lower level in AArch64. Nothing runs with SP_EL0 or in AArch32, so the
/// linker script puts the Image header and the first code in place of the first [`SKIPPED`] bytes,
/// and other code in place of the last four entries. Each entry keeps its index in x4 and leads to
/// [`dispatch`].
///
/// # Safety
///
/// Only the CPU comes here, by VBAR_ELx.
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

/// EL2 and EL3 look for a call of the loader's own; at EL1 every exception is reported. No return:
/// registers need not be saved.
///
/// # Safety
///
/// An entry of the table leads here, with its index in x4.
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
