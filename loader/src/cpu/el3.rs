// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entered at EL3 (`secure=on` with the ELF): all CPUs at once, and no PSCI.
//!
//! On entry: EL3 as QEMU resets it. The first CPU runs the loader at secure EL1, which reaches all
//! of the machine, including the power-off pin. The others sleep in secure memory, where no kernel
//! can overwrite their code. An SMC call enters the kernel at EL1 in the non-secure state, with
//! nothing trapped that Linux uses; little_loader_core's `cpu/el3.rs` and `cpu/el2.rs` have the
//! registers. From then on nothing leads back to EL3, whose code is gone with the loader.
//!
//! Only emulation has an EL3, and it has no caches, so it does not matter that secure and
//! non-secure accesses to one address may have separate cache lines.

use core::arch::naked_asm;

use little_loader_core::cpu;
use little_loader_core::cpu::registers::{SCTLR_EL1_MMU_OFF, SPSR_EL1H_MASKED};

use crate::cpu::el2::drop_to_el1;
use crate::cpu::exceptions::{self, Class};
use crate::cpu::system_registers::ThisCpu;

/// The number of the SMC call that enters the kernel.
pub(crate) const SMC_ENTER: u64 = 0x4c4c;

/// Where QEMU's virt machine has secure RAM (QEMU, `hw/arm/virt.c`, `VIRT_SECURE_MEM`).
const SECURE_RAM: u64 = 0x0e00_0000;

/// Returns to its caller at secure EL1, with MMU and caches off and interrupts masked. The address
/// of the vectors is in x0, which changes.
///
/// # Safety
///
/// The CPU is at EL3 with its MMU off. It needs no stack.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn drop_to_secure_el1() {
    naked_asm!(
        "   msr    vbar_el3, x0",
        "   mov    x0, #{scr}",
        "   msr    scr_el3, x0",
        "   ldr    x0, ={sctlr}",
        "   msr    sctlr_el1, x0",
        "   mov    x0, #{spsr}",
        "   msr    spsr_el3, x0",
        "   msr    elr_el3, x30",
        "   isb",
        "   eret",
        scr = const cpu::el3::SCR_SECURE,
        sctlr = const SCTLR_EL1_MMU_OFF,
        spsr = const SPSR_EL1H_MASKED,
    )
}

/// Puts a CPU other than the first to sleep for ever, in secure RAM. All of them write the same two
/// instructions.
///
/// # Safety
///
/// The CPU is at EL3 with its MMU off, and secure RAM holds nothing that is needed.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn park() -> ! {
    naked_asm!(
        "   ldr    x0, ={secure_ram}",
        "   ldr    x1, 0f",
        "   str    x1, [x0]",
        "   dsb    sy",
        "   ic     iallu",
        "   dsb    sy",
        "   isb",
        "   br     x0",
        "   .balign 8",
        "0: wfi",
        "   b      0b",
        secure_ram = const SECURE_RAM,
    )
}

/// An SMC call with the right number enters the kernel in x1, with the DTB's address in x0.
/// Anything else is reported.
///
/// # Safety
///
/// The vectors lead here from an exception that was taken to EL3, with its index in x4.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn handler() -> ! {
    naked_asm!(
        "   mrs    x2, esr_el3",
        "   lsr    x3, x2, #{class_shift}",
        "   cmp    x3, #{smc}",
        "   b.ne   9f",
        "   and    x2, x2, #{immediate}",
        "   mov    x3, #{enter}",
        "   cmp    x2, x3",
        "   b.ne   9f",
        // x19 to x21 keep their values over calls.
        "   mov    x19, x0",
        "   mov    x20, x1",
        "   mrs    x21, vbar_el3",
        "   adr    x2, __stack_top",
        "   mov    sp, x2",
        "   bl     {set_up}",

        // To EL1, by way of EL2 where there is one.
        "   adr    x3, 2f",
        "   tbnz   w0, #0, 1f",
        "   adr    x3, 3f",
        "1: msr    elr_el3, x3",
        "   isb",
        "   eret",
        "2: mov    x0, x21",
        "   bl     {drop_to_el1}",
        "3: mov    x0, x19",
        "   mov    x1, xzr",
        "   mov    x2, xzr",
        "   mov    x3, xzr",
        "   br     x20",

        "9: mrs    x1, esr_el3",
        "   mrs    x2, elr_el3",
        "   mrs    x3, far_el3",
        "   b      {stop}",
        class_shift = const exceptions::CLASS_SHIFT,
        smc = const Class::SMC.0,
        immediate = const exceptions::CALL_IMMEDIATE,
        enter = const SMC_ENTER,
        set_up = sym set_up,
        drop_to_el1 = sym drop_to_el1,
        stop = sym exceptions::stop,
    )
}

extern "C" fn set_up() -> bool {
    // SAFETY: only `handler` calls this, at EL3. `set_up` touches the registers that the CPU says
    // it has, and leaves EL3's MMU and caches off.
    cpu::el3::set_up(&mut unsafe { ThisCpu::new() })
}
