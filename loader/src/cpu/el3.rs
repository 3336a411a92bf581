// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entry at EL3 (`secure=on` with the ELF): all CPUs start at once, and there is no PSCI.
//!
//! On entry: EL3 as QEMU resets it. The first CPU runs the loader at secure EL1, which can access
//! the whole machine, including the power-off pin. The others sleep in secure memory, where no
//! kernel can overwrite their code. An SMC call enters the kernel at EL1 in the non-secure state,
//! with nothing trapped that Linux uses; little_loader_core's `cpu/el3.rs` and `cpu/el2.rs` set the
//! registers. After that nothing returns to EL3, whose code is gone with the loader.
//!
//! Only QEMU's emulation has an EL3, and it has no caches, so it does not matter that secure and
//! non-secure accesses to one address may have separate cache lines. Apart from that the caches are
//! respected: the call runs on a stack that is only used with the MMU off.

use core::arch::naked_asm;

use little_loader_core::cpu;
use little_loader_core::cpu::registers::{SCTLR_EL1_MMU_OFF, SPSR_EL1H_MASKED};

use crate::cpu::el2::drop_to_el1;
use crate::cpu::exceptions::{self, Class};
use crate::cpu::system_registers::ThisCpu;

/// The number of the SMC call that enters the kernel.
pub(crate) const SMC_ENTER: u64 = 0x4c4c;

/// The address of secure RAM on QEMU's virt machine (QEMU, `hw/arm/virt.c`, `VIRT_SECURE_MEM`).
const SECURE_RAM: u64 = 0x0e00_0000;

/// Returns to its caller at secure EL1, with MMU and caches off and interrupts masked. x0 holds the
/// address of the vectors, and is clobbered.
///
/// # Safety
///
/// The CPU is at EL3 with its MMU off. No stack is used.
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

/// Puts a CPU other than the first to sleep forever, in secure RAM. All such CPUs write the same
/// two instructions there.
///
/// # Safety
///
/// The CPU is at EL3 with its MMU off, and the contents of secure RAM are not needed.
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

/// Handles an exception taken to EL3. The SMC call with the number `SMC_ENTER` enters the kernel at
/// the address in x1, with the DTB's address in x0. Any other exception is reported.
///
/// # Safety
///
/// Only the vectors branch here, from an exception taken to EL3, with the vector's index in x4.
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
        // Calls preserve x19 to x21.
        "   mov    x19, x0",
        "   mov    x20, x1",
        "   mrs    x21, vbar_el3",
        "   adr    x2, __mmu_off_stack_top",
        "   mov    sp, x2",
        "   bl     {set_up}",

        // To EL1, through EL2 if the CPU has it.
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
    // SAFETY: only `handler` calls this, at EL3. `set_up` accesses only registers that the CPU has,
    // and leaves EL3's MMU and caches off.
    cpu::el3::set_up(&mut unsafe { ThisCpu::new() })
}
