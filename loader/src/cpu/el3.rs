// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entered at EL3 (`secure=on` with the ELF): all CPUs at once, and no PSCI.
//!
//! On entry: EL3 as QEMU resets it. The first CPU runs the loader at secure EL1, from where all of the machine can be
//! reached, the power-off pin included. The others sleep in secure memory, where no kernel can overwrite their code. By an
//! SMC call the kernel is entered at EL1 in the non-secure state, with nothing trapped that Linux uses, as booting.rst asks
//! (section 4). From then on nothing leads back to EL3, whose code is gone with the loader.
//!
//! Only emulation has an EL3; that secure and non-secure accesses may have cache lines of their own is no concern here.
//!
//! Source: Arm ARM (DDI 0487), chapter D19, for the registers.

use core::arch::naked_asm;

use crate::cpu::el2::{SCTLR_EL1_RES1, SCTLR_EL2_RES1, SPSR_EL1H_MASKED, define_has, drop_to_el1};
use crate::cpu::exceptions;

/// The number of the SMC call that enters the kernel.
pub(crate) const SMC_ENTER: u64 = 0x4c4c;

/// Where QEMU's virt machine has secure RAM (QEMU, `hw/arm/virt.c`, `VIRT_SECURE_MEM`).
const SECURE_RAM: u64 = 0x0e00_0000;

/// SCR_EL3: what is RES1; lower levels are AArch64 and secure.
const SCR_SECURE: u64 = 0b11 << 4 | 1 << 10;
/// SCR_EL3: lower levels are not secure, and cannot call EL3.
const SCR_NON_SECURE: u64 = SCR_SECURE | 1 << 0 | 1 << 7;
/// SPSR_EL3: EL2 with its own stack pointer, all interrupts masked.
const SPSR_EL2H_MASKED: u64 = 0x3c9;

/// Goes on at secure EL1 behind the call. Called by the reset code, without a stack, with the address of the vectors in
/// x0, which it clobbers.
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
        scr = const SCR_SECURE,
        sctlr = const SCTLR_EL1_RES1,
        spsr = const SPSR_EL1H_MASKED,
    )
}

/// Where the CPUs go that are not the first: to sleep for ever. All of them write the same two instructions.
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

/// An SMC call with the right number enters the kernel in x1, with the DTB's address in x0. Anything else is reported.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn handler() -> ! {
    naked_asm!(
        define_has!(),
        "   mrs    x2, esr_el3",
        "   lsr    x3, x2, #26",                                // the exception class
        "   cmp    x3, #0x17",                                  // SMC from AArch64 (Arm ARM, D19.2.39)
        "   b.ne   9f",
        "   and    x2, x2, #0xffff",
        "   mov    x3, #{enter}",
        "   cmp    x2, x3",
        "   b.ne   9f",
        "   mov    x19, x0",
        "   mov    x20, x1",
        "   mrs    x21, vbar_el3",

        // What EL2 and EL1 may do by themselves.
        "   ldr    x1, ={scr}",
        "   has    id_aa64isar1_el1, 4, x1, 0b11 << 16",        // APA: API and APK
        "   has    id_aa64isar1_el1, 8, x1, 0b11 << 16",        // API
        "   has    S3_0_C0_C6_2, 12, x1, 0b11 << 16",           // ID_AA64ISAR2_EL1, APA3
        "   has    id_aa64pfr1_el1, 8, x1, 1 << 26",            // MTE: ATA
        "   has    id_aa64mmfr0_el1, 56, x1, 1 << 27",          // FGT: FGTEn
        "   has    id_aa64mmfr0_el1, 60, x1, 1 << 28",          // ECV: ECVEn
        "   has    id_aa64mmfr1_el1, 40, x1, 1 << 38",          // HCX: HXEn
        "   has    id_aa64pfr1_el1, 44, x1, 1 << 39",           // GCS: GCSEn
        "   has    id_aa64pfr1_el1, 24, x1, 1 << 41",           // SME: EnTP2
        "   has    S3_0_C0_C7_3, 0, x1, 1 << 43",               // ID_AA64MMFR3_EL1, TCRX: TCR2En
        "   has    S3_0_C0_C7_3, 4, x1, 1 << 44",               // SCTLRX: SCTLR2En
        "   has    S3_0_C0_C7_3, 8, x1, 1 << 45",               // S1PIE: PIEn
        "   has    S3_0_C0_C7_3, 16, x1, 1 << 45",              // S1POE: PIEn
        "   has    S3_0_C0_C4_2, 32, x1, 1 << 50",              // ID_AA64PFR2_EL1, FPMR: EnFPM
        "   mrs    x0, id_aa64mmfr0_el1",
        "   ubfx   x0, x0, #56, #4",
        "   cmp    x0, #2",                                     // FGT: FEAT_FGT2
        "   b.lo   0f",
        "   orr    x1, x1, #(1 << 59)",                         // FGTEn2
        "0: msr    scr_el3, x1",

        // FPU, SVE and SME.
        "   mov    x1, xzr",
        "   has    id_aa64pfr0_el1, 32, x1, 1 << 8",            // SVE: EZ
        "   has    id_aa64pfr1_el1, 24, x1, 1 << 12",           // SME: ESM
        "   msr    cptr_el3, x1",
        "   isb",
        "   mov    x0, #0xf",                                   // the longest vectors there are
        "   tbz    x1, #8, 0f",
        "   msr    S3_6_C1_C2_0, x0",                           // ZCR_EL3
        "0: tbz    x1, #12, 0f",
        "   orr    x0, x0, #(0b11 << 30)",                      // FA64 and EZT0, where they exist
        "   msr    S3_6_C1_C2_6, x0",                           // SMCR_EL3

        // Debug, performance counters, profiling, trace: nothing is trapped.
        "0: mov    x1, xzr",
        "   has    id_aa64dfr0_el1, 32, x1, 0b11 << 12",        // PMSVer: NSPB
        "   has    id_aa64dfr0_el1, 44, x1, 0b11 << 24",        // TraceBuffer: NSTB
        "   has    id_aa64dfr0_el1, 52, x1, 0b11 << 32",        // BRBE: SBRBE
        "   mrs    x0, id_aa64dfr0_el1",
        "   ubfx   x0, x0, #8, #4",
        "   cmp    x0, #9",                                     // PMUVer: PMUv3p9
        "   b.lo   0f",
        "   cmp    x0, #15",
        "   b.eq   0f",
        "   orr    x1, x1, #(1 << 7)",                          // EnPM2
        "0: mrs    x0, id_aa64dfr0_el1",
        "   ubfx   x0, x0, #32, #4",
        "   cbz    x0, 0f",
        "   mrs    x0, S3_0_C9_C9_7",                           // PMSIDR_EL1
        "   tbz    x0, #7, 0f",                                 // FDS
        "   orr    x1, x1, #(1 << 42)",                         // EnPMS3
        "0: msr    mdcr_el3, x1",
        "   mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x1, x0, #44, #4",                            // AMU
        "   cbz    x1, 0f",
        "   mov    x1, #0xf",
        "   msr    S3_3_C13_C2_5, x1",                          // AMCNTENSET0_EL0

        // The interrupt controller's system registers, where the CPU has them (GICv3).
        "0: ubfx   x1, x0, #24, #4",                            // GIC
        "   cbz    x1, 0f",
        "   mrs    x1, S3_6_C12_C12_5",                         // ICC_SRE_EL3
        "   orr    x1, x1, #(1 << 0)",                          // SRE
        "   orr    x1, x1, #(1 << 3)",                          // Enable: lower levels may use them too
        "   msr    S3_6_C12_C12_5, x1",

        // To EL1, by way of EL2 where there is one.
        "0: ubfx   x1, x0, #8, #4",                             // EL2
        "   mov    x2, #{el1h}",
        "   adr    x3, 3f",
        "   cbz    x1, 0f",
        "   ldr    x2, ={sctlr_el2}",
        "   msr    sctlr_el2, x2",
        "   mov    x2, #{el2h}",
        "   adr    x3, 2f",
        "0: msr    spsr_el3, x2",
        "   msr    elr_el3, x3",
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
        "   .purgem has",
        enter = const SMC_ENTER,
        scr = const SCR_NON_SECURE,
        el1h = const SPSR_EL1H_MASKED,
        el2h = const SPSR_EL2H_MASKED,
        sctlr_el2 = const SCTLR_EL2_RES1,
        drop_to_el1 = sym drop_to_el1,
        stop = sym exceptions::stop,
    )
}
