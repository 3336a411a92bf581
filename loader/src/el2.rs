// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entered at EL2 (`virtualization=on`): the loader itself runs at EL1, whatever comes after it.
//!
//! On entry: EL2 as QEMU resets it. On leaving [`drop_to_el1`]: at EL1, with nothing of EL1 trapped to EL2 that Linux uses,
//! as booting.rst asks for an entry at EL1 (section 4, "CPU mode" and the list of system registers). What a CPU does not
//! have is not touched; its identification registers tell.
//!
//! A kernel that shall be entered at EL2 gets there by an HVC call, since only EL2 leads back to EL2.

use core::arch::naked_asm;

/// The number of the HVC call that enters the kernel at EL2. Any other trap to EL2 powers off.
pub(crate) const HVC_ENTER: u64 = 0x4c4c;

/// PSCI, SYSTEM_OFF.
const SYSTEM_OFF: u32 = smccc::psci::PSCI_SYSTEM_OFF;

/// HCR_EL2 (Arm ARM, D19.2.48): EL1 is AArch64.
const HCR_RW: u64 = 1 << 31;
/// HCR_EL2: pointer authentication instructions and keys are not trapped.
const HCR_API_APK: u64 = 0b11 << 40;
/// HCR_EL2: memory tags are not trapped.
const HCR_ATA: u64 = 1 << 56;
/// ID_AA64ISAR1_EL1: the fields APA, API, GPA and GPI.
const ISAR1_PAUTH: u64 = 0xff00_0ff0;
/// CPTR_EL2 (D19.2.33): all that is RES1, nothing trapped but SVE (bit 8) and SME (bit 12).
const CPTR_RES1: u64 = 0x33ff;
/// HFGRTR_EL2 and HFGWTR_EL2: nSMPRI_EL1 and nTPIDR2_EL0, which trap while they are 0.
const HFG_SME: u64 = 0b11 << 54;
/// SCTLR_EL1 (D19.2.120): what is RES1 without optional features; MMU and caches off, little-endian.
const SCTLR_RES1: u64 = 0x30d0_0800;
/// SPSR_EL2: EL1 with its own stack pointer, all interrupts masked.
const SPSR_EL1H_MASKED: u64 = 0x3c5;

/// Goes on at EL1 behind the call. Called by the reset code, without a stack; clobbers x0 to x3.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn drop_to_el1() {
    naked_asm!(
        "   adrp   x0, {vectors}",
        "   add    x0, x0, :lo12:{vectors}",
        "   msr    vbar_el2, x0",

        // What EL1 may do by itself.
        "   ldr    x0, ={hcr_rw}",
        "   mrs    x1, id_aa64isar1_el1",
        "   ldr    x2, ={isar1_pauth}",
        "   mrs    x3, S3_0_C0_C6_2",           // ID_AA64ISAR2_EL1: GPA3 and APA3
        "   and    x3, x3, #0xff00",
        "   and    x1, x1, x2",
        "   orr    x1, x1, x3",
        "   cbz    x1, 0f",
        "   orr    x0, x0, #{hcr_api_apk}",
        "0: mrs    x1, id_aa64pfr1_el1",
        "   ubfx   x1, x1, #8, #4",             // MTE
        "   cbz    x1, 0f",
        "   orr    x0, x0, #{hcr_ata}",
        "0: msr    hcr_el2, x0",
        "   msr    hstr_el2, xzr",
        "   msr    vttbr_el2, xzr",

        // Timers: the physical counter and timer belong to EL1, and the virtual counter is the same.
        "   mrs    x0, cnthctl_el2",
        "   orr    x0, x0, #0b11",
        "   msr    cnthctl_el2, x0",
        "   msr    cntvoff_el2, xzr",

        // Who am I: as at EL2.
        "   mrs    x0, midr_el1",
        "   msr    vpidr_el2, x0",
        "   mrs    x0, mpidr_el1",
        "   msr    vmpidr_el2, x0",

        // FPU, SVE and SME.
        "   ldr    x0, ={cptr}",
        "   mrs    x1, id_aa64pfr0_el1",
        "   ubfx   x1, x1, #32, #4",            // SVE
        "   cbz    x1, 0f",
        "   bic    x0, x0, #(1 << 8)",
        "0: mrs    x2, id_aa64pfr1_el1",
        "   ubfx   x2, x2, #24, #4",            // SME
        "   cbz    x2, 0f",
        "   bic    x0, x0, #(1 << 12)",
        "0: msr    cptr_el2, x0",
        "   isb",
        "   mov    x0, #0xf",                   // the longest vectors there are
        "   cbz    x1, 0f",
        "   msr    S3_4_C1_C2_0, x0",           // ZCR_EL2
        "0: cbz    x2, 0f",
        "   mrs    x1, S3_4_C1_C2_6",           // SMCR_EL2
        "   orr    x1, x1, x0",
        "   orr    x1, x1, #(0b11 << 30)",      // FA64 and EZT0, where they exist
        "   msr    S3_4_C1_C2_6, x1",

        // Performance counters: all for EL1.
        "0: mrs    x0, id_aa64dfr0_el1",
        "   ubfx   x0, x0, #8, #4",             // PMUVer: 0 none, 15 not PMUv3
        "   mov    x1, xzr",
        "   cbz    x0, 0f",
        "   cmp    x0, #15",
        "   b.eq   0f",
        "   mrs    x1, pmcr_el0",
        "   ubfx   x1, x1, #11, #5",            // N becomes HPMN
        "0: msr    mdcr_el2, x1",

        // Fine-grained traps: none. For SME some bits trap while they are 0.
        "   mrs    x0, id_aa64mmfr0_el1",
        "   ubfx   x0, x0, #56, #4",            // FGT
        "   cbz    x0, 0f",
        "   mov    x1, xzr",
        "   cbz    x2, 1f",
        "   ldr    x1, ={hfg_sme}",
        "1: msr    S3_4_C1_C1_4, x1",           // HFGRTR_EL2
        "   msr    S3_4_C1_C1_5, x1",           // HFGWTR_EL2
        "   msr    S3_4_C1_C1_6, xzr",          // HFGITR_EL2
        "   msr    S3_4_C3_C1_4, xzr",          // HDFGRTR_EL2
        "   msr    S3_4_C3_C1_5, xzr",          // HDFGWTR_EL2
        "   mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x0, x0, #44, #4",            // AMU
        "   cbz    x0, 0f",
        "   msr    S3_4_C3_C1_6, xzr",          // HAFGRTR_EL2

        // HCRX_EL2: instructions and registers that are off while its bits are 0.
        "0: mrs    x0, id_aa64mmfr1_el1",
        "   ubfx   x0, x0, #40, #4",            // HCX
        "   cbz    x0, 0f",
        "   mov    x1, xzr",
        "   mrs    x0, S3_0_C0_C6_2",           // ID_AA64ISAR2_EL1
        "   ubfx   x0, x0, #16, #4",            // MOPS
        "   cbz    x0, 1f",
        "   orr    x1, x1, #(1 << 11)",         // MSCEn
        "1: mrs    x0, S3_0_C0_C7_3",           // ID_AA64MMFR3_EL1
        "   tst    x0, #0xf",                   // TCRX
        "   b.eq   1f",
        "   orr    x1, x1, #(1 << 14)",         // TCR2En
        "1: tst    x0, #0xf0",                  // SCTLRX
        "   b.eq   1f",
        "   orr    x1, x1, #(1 << 15)",         // SCTLR2En
        "1: msr    S3_4_C1_C2_2, x1",           // HCRX_EL2

        // The interrupt controller's system registers, where the CPU has them (GICv3).
        "0: mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x0, x0, #24, #4",            // GIC
        "   cbz    x0, 0f",
        "   mrs    x0, S3_4_C12_C9_5",          // ICC_SRE_EL2
        "   orr    x0, x0, #(1 << 0)",          // SRE
        "   orr    x0, x0, #(1 << 3)",          // Enable: EL1 may use them too
        "   msr    S3_4_C12_C9_5, x0",
        "   isb",
        "   mrs    x0, S3_4_C12_C9_5",
        "   tbz    x0, #0, 0f",                 // stays 0 where the machine has a GICv2
        "   msr    S3_4_C12_C11_0, xzr",        // ICH_HCR_EL2

        "0: ldr    x0, ={sctlr}",
        "   msr    sctlr_el1, x0",
        "   ldr    x0, ={spsr}",
        "   msr    spsr_el2, x0",
        "   msr    elr_el2, x30",
        "   isb",
        "   eret",
        vectors = sym vectors,
        hcr_rw = const HCR_RW,
        isar1_pauth = const ISAR1_PAUTH,
        hcr_api_apk = const HCR_API_APK,
        hcr_ata = const HCR_ATA,
        cptr = const CPTR_RES1,
        hfg_sme = const HFG_SME,
        sctlr = const SCTLR_RES1,
        spsr = const SPSR_EL1H_MASKED,
    )
}

/// The vectors of EL2: all lead to one handler. The linker script puts the table on a boundary of 2 KiB.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors.el2")]
unsafe extern "C" fn vectors() {
    naked_asm!(
        "   .rept  16",
        "   .balign 128",
        "   b      {handler}",
        "   .endr",
        handler = sym handler,
    )
}

/// An HVC call with the right number enters the kernel in x1 at EL2, with the DTB's address in x0. EL2 is then as it was at
/// reset in all that Linux does not set up itself.
#[unsafe(naked)]
unsafe extern "C" fn handler() -> ! {
    naked_asm!(
        "   mrs    x2, esr_el2",
        "   lsr    x3, x2, #26",                // the exception class
        "   cmp    x3, #0x16",                  // HVC from AArch64 (Arm ARM, D19.2.38)
        "   b.ne   1f",
        "   and    x2, x2, #0xffff",
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
        "1: ldr    w0, ={system_off}",
        "   smc    #0",
        "0: wfi",
        "   b      0b",
        enter = const HVC_ENTER,
        system_off = const SYSTEM_OFF,
    )
}
