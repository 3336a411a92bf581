// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entered at EL2 (`virtualization=on`): the loader itself runs at EL1, whatever the kernel's
//! level.
//!
//! On entry: EL2 as QEMU resets it, or as `el3.rs` left it. On leaving [`drop_to_el1`]: at EL1,
//! with nothing trapped to EL2 that Linux uses; little_loader_core's `cpu/el2.rs` has the
//! registers.
//!
//! A kernel that is to run at EL2 is entered by an HVC call, since only EL2 leads back to EL2.

use core::arch::naked_asm;

use little_loader_core::cpu;

use crate::cpu::exceptions::{self, Class};
use crate::cpu::system_registers::ThisCpu;

/// The number of the HVC call that enters the kernel at EL2.
pub(crate) const HVC_ENTER: u64 = 0x4c4c;

/// Returns to its caller at EL1, in the security state that EL2 is in, with MMU and caches off and
/// interrupts masked. The address of the vectors is in x0.
///
/// # Safety
///
/// The CPU is at EL2 with its MMU off, and nothing else uses the stack, which is where the set-up
/// runs. What a call may change by AAPCS64 is changed, and SP_EL2.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn drop_to_el1() {
    naked_asm!(
        "   msr    vbar_el2, x0",
        "   adr    x1, __stack_top",
        "   mov    sp, x1",
        "   stp    x30, xzr, [sp, #-16]!",
        "   bl     {set_up}",
        "   ldr    x30, [sp], #16",
        "   msr    elr_el2, x30",
        "   isb",
        "   eret",
        set_up = sym set_up,
    )
}

extern "C" fn set_up() {
    // SAFETY: only `drop_to_el1` calls this, at EL2. `set_up` touches the registers that the CPU
    // says it has, and leaves EL2's MMU and caches off.
    cpu::el2::set_up(&mut unsafe { ThisCpu::new() });
}

/// An HVC call with the right number enters the kernel in x1 at EL2, with the DTB's address in x0.
/// EL2 is then as it was at reset in all that Linux does not set up itself. Anything else is
/// reported.
///
/// # Safety
///
/// The vectors lead here from an exception that was taken to EL2, with its index in x4.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn handler() -> ! {
    naked_asm!(
        "   mrs    x2, esr_el2",
        "   lsr    x3, x2, #{class_shift}",
        "   cmp    x3, #{hvc}",
        "   b.ne   1f",
        "   and    x2, x2, #{immediate}",
        "   mov    x3, #{enter}",
        "   cmp    x2, x3",
        "   b.ne   1f",
        "   msr    hcr_el2, xzr",
        "   tlbi   alle1",
        "   ic     iallu",
        "   dsb    sy",
        "   isb",
        "   mov    x4, x1",
        "   mov    x1, xzr",
        "   mov    x2, xzr",
        "   mov    x3, xzr",
        "   br     x4",
        "1: mrs    x1, esr_el2",
        "   mrs    x2, elr_el2",
        "   mrs    x3, far_el2",
        "   b      {stop}",
        class_shift = const exceptions::CLASS_SHIFT,
        hvc = const Class::HVC.0,
        immediate = const exceptions::CALL_IMMEDIATE,
        enter = const HVC_ENTER,
        stop = sym exceptions::stop,
    )
}
