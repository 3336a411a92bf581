// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entry at EL2 (`virtualization=on`): the loader itself runs at EL1, whatever the kernel's level.
//!
//! On entry: EL2 as QEMU resets it, or as `el3.rs` left it. On return from [`drop_to_el1`]: at EL1,
//! with nothing trapped to EL2 that Linux uses; little_loader_core's `cpu/el2.rs` sets the
//! registers.
//!
//! A kernel that runs at EL2 is entered by an HVC call, since code at EL1 can reach EL2 only by an
//! exception.

use core::arch::naked_asm;

use little_loader_core::cpu;

use crate::cpu::exceptions::{self, Class};
use crate::cpu::system_registers::ThisCpu;

/// The number of the HVC call that enters the kernel at EL2.
pub(crate) const HVC_ENTER: u64 = 0x4c4c;

/// Returns to its caller at EL1, in EL2's security state, with MMU and caches off and interrupts
/// masked. x0 holds the address of the vectors.
///
/// # Safety
///
/// The CPU is at EL2 with its MMU off, and nothing else uses the stack for the MMU off, on which the
/// set-up runs. Clobbers SP_EL2 and the registers that AAPCS64 lets a call change.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn drop_to_el1() {
    naked_asm!(
        "   msr    vbar_el2, x0",
        "   adr    x1, __mmu_off_stack_top",
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
    // SAFETY: only `drop_to_el1` calls this, at EL2. `set_up` accesses only registers that the CPU
    // has, and leaves EL2's MMU and caches off.
    cpu::el2::set_up(&mut unsafe { ThisCpu::new() });
}

/// Handles an exception taken to EL2. The HVC call with the number `HVC_ENTER` enters the kernel at
/// the address in x1, at EL2, with the DTB's address in x0; the EL2 state that Linux does not set
/// up itself is then as it was at reset. Any other exception is reported.
///
/// # Safety
///
/// Only the vectors branch here, from an exception taken to EL2, with the vector's index in x4.
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
