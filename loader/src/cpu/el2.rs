// SPDX-License-Identifier: MIT OR Apache-2.0

//! Entered at EL2 (`virtualization=on`): the loader itself runs at EL1, whatever comes after it.
//!
//! On entry: EL2 as QEMU resets it, or as `el3.rs` left it. On leaving [`drop_to_el1`]: at EL1, with nothing of EL1 trapped
//! to EL2 that Linux uses, as booting.rst asks for an entry at EL1 (section 4, "CPU mode" and the list of system registers,
//! but for GICv5, auxiliary activity monitors, and MCE2, which needs a hypervisor). What a CPU does not have is not touched; its identification registers tell.
//!
//! A kernel that shall be entered at EL2 gets there by an HVC call, since only EL2 leads back to EL2.
//!
//! Source: Arm ARM (DDI 0487), chapter D19, for the registers. Those that assemblers do not all know are written by their
//! encoding, with the name beside it.

use core::arch::naked_asm;

use crate::cpu::exceptions;

/// The number of the HVC call that enters the kernel at EL2.
pub(crate) const HVC_ENTER: u64 = 0x4c4c;

/// SCTLR_EL1: what is RES1 without optional features; MMU and caches off, little-endian.
pub(crate) const SCTLR_EL1_RES1: u64 = 0x30d0_0800;
/// SCTLR_EL2: the same.
pub(crate) const SCTLR_EL2_RES1: u64 = 0x30c5_0830;
/// SPSR_ELx: EL1 with its own stack pointer, all interrupts masked.
pub(crate) const SPSR_EL1H_MASKED: u64 = 0x3c5;

/// HCR_EL2: EL1 is AArch64.
const HCR_RW: u64 = 1 << 31;
/// HCR_EL2: pointer authentication instructions and keys are not trapped.
const HCR_API_APK: u64 = 0b11 << 40;
/// HCR_EL2.E2H: registers of EL2 have the form that FEAT_VHE gave them.
const E2H: u32 = 34;
/// CPTR_EL2: all that is RES1; nothing trapped but SVE and SME.
const CPTR_RES1: u64 = 0x33ff;
const CPTR_TZ: u64 = 1 << 8;
const CPTR_TSM: u64 = 1 << 12;
/// CPTR_EL2 in the form of FEAT_VHE: FPEN, and where there is SVE or SME, ZEN and SMEN.
const CPTR_FPEN: u64 = 0b11 << 20;
const CPTR_ZEN: u64 = 0b11 << 16;
const CPTR_SMEN: u64 = 0b11 << 24;

/// `has REGISTER, SHIFT, TO, BITS` sets bits of `TO` where the field of an identification register, four bits wide, is not
/// 0. Clobbers x0.
macro_rules! define_has {
    () => {
        ".macro has register, shift, to, bits
            mrs    x0, \\register
            ubfx   x0, x0, #\\shift, #4
            cbz    x0, 99f
            orr    \\to, \\to, #(\\bits)
        99:
        .endm"
    };
}

pub(crate) use define_has;

/// Goes on at EL1 behind the call, in the security state that EL2 is in. Called without a stack, with the address of the
/// vectors in x0; clobbers x0 to x3.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn drop_to_el1() {
    naked_asm!(
        define_has!(),
        "   msr    vbar_el2, x0",

        // EL2 itself: MMU and caches off.
        "   ldr    x1, ={sctlr_el2}",
        "   has    id_aa64pfr1_el1, 24, x1, 1 << 60",           // SME: EnTP2
        "   msr    sctlr_el2, x1",

        // What EL1 may do by itself.
        "   ldr    x1, ={hcr_rw}",
        "   has    id_aa64isar1_el1, 4, x1, {hcr_api_apk}",     // APA
        "   has    id_aa64isar1_el1, 8, x1, {hcr_api_apk}",     // API
        "   has    S3_0_C0_C6_2, 12, x1, {hcr_api_apk}",        // ID_AA64ISAR2_EL1, APA3
        "   has    id_aa64pfr1_el1, 8, x1, 1 << 56",            // MTE: ATA
        // A CPU whose EL2 has only the form of FEAT_VHE may want to be told so (ID_AA64MMFR4_EL1.E2H0 is negative).
        "   mrs    x0, S3_0_C0_C7_4",
        "   tbz    x0, #27, 0f",
        "   orr    x1, x1, #(1 << {e2h})",
        "0: msr    hcr_el2, x1",
        "   isb",
        "   mrs    x3, hcr_el2",                                // x3: 1 where EL2 has that form
        "   ubfx   x3, x3, #{e2h}, #1",
        "   msr    hstr_el2, xzr",
        "   msr    vttbr_el2, xzr",

        // Timers: the physical counter and timer belong to EL1, and the virtual counter is the same.
        "   mov    x0, #0b11",
        "   cbz    x3, 0f",
        "   lsl    x0, x0, #10",
        "0: msr    cnthctl_el2, x0",
        "   msr    cntvoff_el2, xzr",

        // Who am I: as at EL2.
        "   mrs    x0, midr_el1",
        "   msr    vpidr_el2, x0",
        "   mrs    x0, mpidr_el1",
        "   msr    vmpidr_el2, x0",

        // FPU, SVE and SME.
        "   mov    x1, xzr",
        "   cbz    x3, 0f",
        "   ldr    x2, ={fpen}",
        "   has    id_aa64pfr0_el1, 32, x2, {zen}",
        "   has    id_aa64pfr1_el1, 24, x2, {smen}",
        "   b      1f",
        "0: has    id_aa64pfr0_el1, 32, x1, {tz}",
        "   has    id_aa64pfr1_el1, 24, x1, {tsm}",
        "   ldr    x2, ={cptr}",
        "   bic    x2, x2, x1",
        "1: msr    cptr_el2, x2",
        "   isb",
        "   mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x0, x0, #32, #4",
        "   cbz    x0, 0f",
        "   mov    x0, #0xf",                                   // the longest vectors there are
        "   msr    S3_4_C1_C2_0, x0",                           // ZCR_EL2
        "0: mrs    x0, id_aa64pfr1_el1",
        "   ubfx   x0, x0, #24, #4",
        "   cbz    x0, 0f",
        "   mrs    x1, S3_4_C1_C2_6",                           // SMCR_EL2
        "   orr    x1, x1, #0xf",
        "   orr    x1, x1, #(0b11 << 30)",                      // FA64 and EZT0, where they exist
        "   msr    S3_4_C1_C2_6, x1",

        // Performance counters, statistical profiling and the trace buffer: all for EL1.
        "0: mrs    x0, id_aa64dfr0_el1",
        "   ubfx   x2, x0, #8, #4",                             // x2: PMUVer; 0 none, 15 not PMUv3
        "   mov    x1, xzr",
        "   cbz    x2, 0f",
        "   cmp    x2, #15",
        "   csel   x2, xzr, x2, eq",
        "   b.eq   0f",
        "   mrs    x1, pmcr_el0",
        "   ubfx   x1, x1, #11, #5",                            // N becomes HPMN
        "0: has    id_aa64dfr0_el1, 32, x1, 0b11 << 12",        // PMSVer: E2PB
        "   has    id_aa64dfr0_el1, 44, x1, 0b11 << 24",        // TraceBuffer: E2TB
        "   msr    mdcr_el2, x1",
        "   mov    x1, xzr",
        "   has    id_aa64dfr0_el1, 52, x1, 0b11 << 3",         // BRBE: MPRED and CC
        "   cbz    x1, 0f",
        "   msr    S2_4_C9_C0_0, x1",                           // BRBCR_EL2

        // Activity monitors count from the highest exception level on: all four, where that is this one.
        "0: mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x1, x0, #44, #4",                            // AMU
        "   cbz    x1, 0f",
        "   ubfx   x1, x0, #12, #4",                            // EL3
        "   cbnz   x1, 0f",
        "   mov    x0, #0xf",
        "   msr    S3_3_C13_C2_5, x0",                          // AMCNTENSET0_EL0

        // Fine-grained traps: none. Bits of newer features trap while they are 0.
        "0: mrs    x0, id_aa64mmfr0_el1",
        "   ubfx   x0, x0, #56, #4",                            // FGT
        "   cbz    x0, 0f",
        "   mov    x1, xzr",
        "   has    id_aa64pfr1_el1, 24, x1, 0b11 << 54",        // SME: nTPIDR2_EL0, nSMPRI_EL1
        "   has    S3_0_C0_C7_3, 8, x1, 0b11 << 57",            // ID_AA64MMFR3_EL1, S1PIE: nPIR_EL1, nPIRE0_EL1
        "   has    S3_0_C0_C7_3, 16, x1, 0b11 << 59",           // S1POE: nPOR_EL1, nPOR_EL0
        "   has    id_aa64pfr1_el1, 44, x1, 0b11 << 52",        // GCS: nGCS_EL1, nGCS_EL0
        "   msr    S3_4_C1_C1_4, x1",                           // HFGRTR_EL2
        "   msr    S3_4_C1_C1_5, x1",                           // HFGWTR_EL2
        "   mov    x1, xzr",
        "   has    id_aa64dfr0_el1, 52, x1, 0b11 << 55",        // BRBE: nBRBIALL, nBRBINJ
        "   has    id_aa64pfr1_el1, 44, x1, 0b111 << 57",       // GCS: nGCSEPP, nGCSSTR_EL1, nGCSPUSHM_EL1
        "   msr    S3_4_C1_C1_6, x1",                           // HFGITR_EL2
        "   mov    x1, xzr",
        "   has    id_aa64dfr0_el1, 52, x1, 0b111 << 59",       // BRBE: nBRBDATA, nBRBCTL, nBRBIDR
        "   mrs    x0, id_aa64dfr0_el1",
        "   ubfx   x0, x0, #32, #4",
        "   cmp    x0, #3",                                     // PMSVer: SPEv1p2
        "   b.lo   1f",
        "   orr    x1, x1, #(1 << 62)",                         // nPMSNEVFR_EL1
        "1: msr    S3_4_C3_C1_4, x1",                           // HDFGRTR_EL2
        "   bic    x1, x1, #(1 << 59)",                         // BRBIDR is read-only
        "   msr    S3_4_C3_C1_5, x1",                           // HDFGWTR_EL2
        "   mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x0, x0, #44, #4",                            // AMU
        "   cbz    x0, 1f",
        "   msr    S3_4_C3_C1_6, xzr",                          // HAFGRTR_EL2

        // The second set of them.
        "1: mrs    x0, id_aa64mmfr0_el1",
        "   ubfx   x0, x0, #56, #4",
        "   cmp    x0, #2",                                     // FGT: FEAT_FGT2
        "   b.lo   0f",
        "   mov    x1, xzr",
        "   cmp    x2, #9",                                     // PMUv3p9
        "   b.lo   1f",
        "   orr    x1, x1, #(0b111 << 2)",                      // nPMICNTR_EL0, nPMICFILTR_EL0, nPMUACR_EL1
        "1: mrs    x0, id_aa64dfr0_el1",
        "   ubfx   x0, x0, #32, #4",
        "   cbz    x0, 1f",
        "   mrs    x0, S3_0_C9_C9_7",                           // PMSIDR_EL1
        "   tbz    x0, #7, 1f",                                 // FDS
        "   orr    x1, x1, #(1 << 19)",                         // nPMSDSFR_EL1
        "1: msr    S3_4_C3_C1_0, x1",                           // HDFGRTR2_EL2
        "   msr    S3_4_C3_C1_1, x1",                           // HDFGWTR2_EL2
        "   msr    S3_4_C3_C1_2, xzr",                          // HFGRTR2_EL2
        "   msr    S3_4_C3_C1_3, xzr",                          // HFGWTR2_EL2
        "   msr    S3_4_C3_C1_7, xzr",                          // HFGITR2_EL2

        // HCRX_EL2: instructions and registers that are off while its bits are 0.
        "0: mrs    x0, id_aa64mmfr1_el1",
        "   ubfx   x0, x0, #40, #4",                            // HCX
        "   cbz    x0, 0f",
        "   mov    x1, xzr",
        "   has    S3_0_C0_C6_2, 16, x1, 1 << 11",              // ID_AA64ISAR2_EL1, MOPS: MSCEn
        "   has    S3_0_C0_C7_3, 0, x1, 1 << 14",               // ID_AA64MMFR3_EL1, TCRX: TCR2En
        "   has    S3_0_C0_C7_3, 4, x1, 1 << 15",               // SCTLRX: SCTLR2En
        "   has    id_aa64pfr1_el1, 44, x1, 1 << 22",           // GCSEn
        "   has    S3_0_C0_C4_2, 32, x1, 1 << 23",              // ID_AA64PFR2_EL1, FPMR: EnFPM
        "   has    id_aa64isar1_el1, 60, x1, 1 << 1",           // LS64: EnALS
        "   mrs    x0, id_aa64isar1_el1",
        "   ubfx   x0, x0, #60, #4",
        "   cmp    x0, #2",                                     // LS64: FEAT_LS64_V
        "   b.lo   1f",
        "   orr    x1, x1, #(1 << 2)",                          // EnASR
        "1: msr    S3_4_C1_C2_2, x1",                           // HCRX_EL2

        // Guarded control stacks: off.
        "0: mrs    x0, id_aa64pfr1_el1",
        "   ubfx   x0, x0, #44, #4",
        "   cbz    x0, 0f",
        "   msr    S3_4_C2_C5_0, xzr",                          // GCSCR_EL2
        "   msr    S3_0_C2_C5_0, xzr",                          // GCSCR_EL1
        "   msr    S3_0_C2_C5_2, xzr",                          // GCSCRE0_EL1
        "   cbz    x3, 0f",
        "   msr    S3_5_C2_C5_0, xzr",                          // GCSCR_EL12, see below

        // The interrupt controller's system registers, where the CPU has them (GICv3).
        "0: mrs    x0, id_aa64pfr0_el1",
        "   ubfx   x0, x0, #24, #4",                            // GIC
        "   cbz    x0, 0f",
        "   mrs    x0, S3_4_C12_C9_5",                          // ICC_SRE_EL2
        "   orr    x0, x0, #(1 << 0)",                          // SRE
        "   orr    x0, x0, #(1 << 3)",                          // Enable: EL1 may use them too
        "   msr    S3_4_C12_C9_5, x0",
        "   isb",
        "   mrs    x0, S3_4_C12_C9_5",
        "   tbz    x0, #0, 0f",                                 // stays 0 where the machine has a GICv2
        "   msr    S3_4_C12_C11_0, xzr",                        // ICH_HCR_EL2

        // In the form of FEAT_VHE, EL2 means its own registers by the names of EL1's.
        "0: ldr    x0, ={sctlr_el1}",
        "   cbz    x3, 0f",
        "   msr    S3_5_C1_C0_0, x0",                           // SCTLR_EL12
        "   b      1f",
        "0: msr    sctlr_el1, x0",
        "1: ldr    x0, ={spsr}",
        "   msr    spsr_el2, x0",
        "   msr    elr_el2, x30",
        "   isb",
        "   eret",
        "   .purgem has",
        sctlr_el2 = const SCTLR_EL2_RES1,
        hcr_rw = const HCR_RW,
        hcr_api_apk = const HCR_API_APK,
        e2h = const E2H,
        fpen = const CPTR_FPEN,
        zen = const CPTR_ZEN,
        smen = const CPTR_SMEN,
        cptr = const CPTR_RES1,
        tz = const CPTR_TZ,
        tsm = const CPTR_TSM,
        sctlr_el1 = const SCTLR_EL1_RES1,
        spsr = const SPSR_EL1H_MASKED,
    )
}

/// An HVC call with the right number enters the kernel in x1 at EL2, with the DTB's address in x0. EL2 is then as it was at
/// reset in all that Linux does not set up itself. Anything else is reported.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn handler() -> ! {
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
        "1: mrs    x1, esr_el2",
        "   mrs    x2, elr_el2",
        "   mrs    x3, far_el2",
        "   b      {stop}",
        enter = const HVC_ENTER,
        stop = sym exceptions::stop,
    )
}
