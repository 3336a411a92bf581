// SPDX-License-Identifier: MIT OR Apache-2.0

//! System registers: their encoding in instructions, and the bits used here.
//!
//! Source: Arm ARM (DDI 0487), chapter D19 (D24 in later issues); Linux, `arch/arm64/tools/sysreg`.

#![expect(
    non_snake_case,
    non_upper_case_globals,
    reason = "registers and bits have the names that the architecture gives them"
)]

/// A system register, identified by its encoding: op0, op1, CRn, CRm and op2 as in bits 20 to 5 of
/// MRS and MSR (Arm ARM, C6.2, "MRS").
#[derive(Clone, Copy, Debug)]
pub struct Register<const ENCODING: u16>;

impl<const ENCODING: u16> Register<ENCODING> {
    /// Returns the encoding, bits 20 to 5 of MRS and MSR.
    #[must_use]
    pub const fn encoding(self) -> u16 {
        ENCODING
    }
}

/// Packs the fields of an encoding.
const fn encoding(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> u16 {
    assert!(op0 < 4 && op1 < 8 && crn < 16 && crm < 16 && op2 < 8);
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// Returns a mask of the bits `low` to `high`, both included.
const fn mask(low: u32, high: u32) -> u64 {
    assert!(low <= high && high < 64);
    (u64::MAX >> (63 - high + low)) << low
}

/// Extracts the field with this mask.
#[must_use]
pub const fn field(value: u64, mask: u64) -> u64 {
    (value & mask) >> mask.trailing_zeros()
}

/// Defines, for each register `NAME`, a constant `NAME` and a module with a mask for each field,
/// `NAME::FIELD`.
macro_rules! registers {
    ($(
        $(#[$about:meta])*
        $register:ident ($($number:literal),+) {
            $( $field:ident: $low:literal $(..= $high:literal)?, )*
        }
    )+) => {
        $(
            $(#[$about])*
            pub const $register: Register<{ encoding($($number),+) }> = Register;

            $(#[$about])*
            pub mod $register {
                $(
                    #[doc = concat!("Bits ", $low, $("..=", $high,)? ".")]
                    pub const $field: u64 = {
                        let (low, high) = ($low, $low);
                        $( let high = if $high > high { $high } else { high }; )?
                        super::mask(low, high)
                    };
                )*
            }
        )+

        /// Each register's name, encoding, and fields, for the tests.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, u16, &[(&str, u64)])] = &[
            $((
                stringify!($register),
                encoding($($number),+),
                &[$( (stringify!($field), $register::$field), )*],
            ),)+
        ];
    };
}

registers! {
    /// Main ID Register.
    MIDR_EL1 (3, 0, 0, 0, 0) {}
    /// Multiprocessor Affinity Register.
    MPIDR_EL1 (3, 0, 0, 0, 5) {}
    /// AArch64 Processor Feature Register 0.
    ID_AA64PFR0_EL1 (3, 0, 0, 4, 0) {
        EL2: 8..=11,
        EL3: 12..=15,
        GIC: 24..=27,
        SVE: 32..=35,
        AMU: 44..=47,
    }
    /// AArch64 Processor Feature Register 1.
    ID_AA64PFR1_EL1 (3, 0, 0, 4, 1) {
        MTE: 8..=11,
        SME: 24..=27,
        GCS: 44..=47,
    }
    /// AArch64 Processor Feature Register 2.
    ID_AA64PFR2_EL1 (3, 0, 0, 4, 2) {
        FPMR: 32..=35,
    }
    /// AArch64 Debug Feature Register 0.
    ID_AA64DFR0_EL1 (3, 0, 0, 5, 0) {
        PMUVer: 8..=11,
        PMSVer: 32..=35,
        TraceBuffer: 44..=47,
        BRBE: 52..=55,
    }
    /// AArch64 Instruction Set Attribute Register 0.
    ID_AA64ISAR0_EL1 (3, 0, 0, 6, 0) {
        CRC32: 16..=19,
    }
    /// AArch64 Instruction Set Attribute Register 1.
    ID_AA64ISAR1_EL1 (3, 0, 0, 6, 1) {
        APA: 4..=7,
        API: 8..=11,
        LS64: 60..=63,
    }
    /// AArch64 Instruction Set Attribute Register 2.
    ID_AA64ISAR2_EL1 (3, 0, 0, 6, 2) {
        APA3: 12..=15,
        MOPS: 16..=19,
    }
    /// AArch64 Memory Model Feature Register 0.
    ID_AA64MMFR0_EL1 (3, 0, 0, 7, 0) {
        FGT: 56..=59,
        ECV: 60..=63,
    }
    /// AArch64 Memory Model Feature Register 1.
    ID_AA64MMFR1_EL1 (3, 0, 0, 7, 1) {
        HCX: 40..=43,
    }
    /// AArch64 Memory Model Feature Register 3.
    ID_AA64MMFR3_EL1 (3, 0, 0, 7, 3) {
        TCRX: 0..=3,
        SCTLRX: 4..=7,
        S1PIE: 8..=11,
        S1POE: 16..=19,
    }
    /// AArch64 Memory Model Feature Register 4.
    ID_AA64MMFR4_EL1 (3, 0, 0, 7, 4) {
        E2H0: 24..=27,
    }

    /// System Control Register of EL1.
    SCTLR_EL1 (3, 0, 1, 0, 0) {
        EOS: 11,
        TSCXT: 20,
        EIS: 22,
        SPAN: 23,
        nTLSMD: 28,
        LSMAOE: 29,
    }
    /// SCTLR_EL1, by its name at EL2 while HCR_EL2.E2H is 1.
    SCTLR_EL12 (3, 5, 1, 0, 0) {}
    /// Guarded Control Stack Control Register of EL1.
    GCSCR_EL1 (3, 0, 2, 5, 0) {}
    /// GCSCR_EL1, by its name at EL2 while HCR_EL2.E2H is 1.
    GCSCR_EL12 (3, 5, 2, 5, 0) {}
    /// Guarded Control Stack Control Register of EL0.
    GCSCRE0_EL1 (3, 0, 2, 5, 2) {}
    /// Statistical Profiling ID Register; exists only with FEAT_SPE.
    PMSIDR_EL1 (3, 0, 9, 9, 7) {
        FDS: 7,
    }
    /// Cache Type Register.
    CTR_EL0 (3, 3, 0, 0, 1) {
        DminLine: 16..=19,
    }
    /// Performance Monitors Control Register; exists only with FEAT_PMUv3.
    PMCR_EL0 (3, 3, 9, 12, 0) {
        N: 11..=15,
    }
    /// Activity Monitors Count Enable Set Register 0.
    AMCNTENSET0_EL0 (3, 3, 13, 2, 5) {
        P: 0..=3,
    }

    /// Virtualization Processor ID Register.
    VPIDR_EL2 (3, 4, 0, 0, 0) {}
    /// Virtualization Multiprocessor ID Register.
    VMPIDR_EL2 (3, 4, 0, 0, 5) {}
    /// System Control Register of EL2.
    SCTLR_EL2 (3, 4, 1, 0, 0) {
        SA0: 4,
        CP15BEN: 5,
        EOS: 11,
        nTWI: 16,
        nTWE: 18,
        EIS: 22,
        SPAN: 23,
        nTLSMD: 28,
        LSMAOE: 29,
        EnTP2: 60,
    }
    /// Hypervisor Configuration Register.
    HCR_EL2 (3, 4, 1, 1, 0) {
        RW: 31,
        E2H: 34,
        APK: 40,
        API: 41,
        ATA: 56,
    }
    /// Monitor Debug Configuration Register of EL2.
    MDCR_EL2 (3, 4, 1, 1, 1) {
        HPMN: 0..=4,
        E2PB: 12..=13,
        E2TB: 24..=25,
    }
    /// Architectural Feature Trap Register of EL2.
    CPTR_EL2 (3, 4, 1, 1, 2) {
        RES1_7_0: 0..=7,
        TZ: 8,
        RES1_9: 9,
        TSM: 12,
        RES1_13: 13,
    }
    /// CPTR_EL2 in its layout while HCR_EL2.E2H is 1.
    CPTR_EL2_E2H (3, 4, 1, 1, 2) {
        ZEN: 16..=17,
        FPEN: 20..=21,
        SMEN: 24..=25,
    }
    /// Hypervisor System Trap Register.
    HSTR_EL2 (3, 4, 1, 1, 3) {}
    /// Hypervisor Fine-Grained Read Trap Register.
    HFGRTR_EL2 (3, 4, 1, 1, 4) {
        nGCS_EL0: 52,
        nGCS_EL1: 53,
        nSMPRI_EL1: 54,
        nTPIDR2_EL0: 55,
        nPIRE0_EL1: 57,
        nPIR_EL1: 58,
        nPOR_EL0: 59,
        nPOR_EL1: 60,
    }
    /// Hypervisor Fine-Grained Write Trap Register: the bits of HFGRTR_EL2.
    HFGWTR_EL2 (3, 4, 1, 1, 5) {}
    /// Hypervisor Fine-Grained Instruction Trap Register.
    HFGITR_EL2 (3, 4, 1, 1, 6) {
        nBRBINJ: 55,
        nBRBIALL: 56,
        nGCSPUSHM_EL1: 57,
        nGCSSTR_EL1: 58,
        nGCSEPP: 59,
    }
    /// SVE Control Register of EL2.
    ZCR_EL2 (3, 4, 1, 2, 0) {
        LEN: 0..=3,
    }
    /// Extended Hypervisor Configuration Register.
    HCRX_EL2 (3, 4, 1, 2, 2) {
        EnALS: 1,
        EnASR: 2,
        MSCEn: 11,
        TCR2En: 14,
        SCTLR2En: 15,
        GCSEn: 22,
        EnFPM: 23,
    }
    /// SME Control Register of EL2.
    SMCR_EL2 (3, 4, 1, 2, 6) {
        LEN: 0..=3,
        EZT0: 30,
        FA64: 31,
    }
    /// Virtualization Translation Table Base Register.
    VTTBR_EL2 (3, 4, 2, 1, 0) {}
    /// Guarded Control Stack Control Register of EL2.
    GCSCR_EL2 (3, 4, 2, 5, 0) {}
    /// Hypervisor Debug Fine-Grained Read Trap Register 2.
    HDFGRTR2_EL2 (3, 4, 3, 1, 0) {
        nPMICNTR_EL0: 2,
        nPMICFILTR_EL0: 3,
        nPMUACR_EL1: 4,
        nPMSDSFR_EL1: 19,
    }
    /// Hypervisor Debug Fine-Grained Write Trap Register 2: the bits of HDFGRTR2_EL2.
    HDFGWTR2_EL2 (3, 4, 3, 1, 1) {}
    /// Hypervisor Fine-Grained Read Trap Register 2.
    HFGRTR2_EL2 (3, 4, 3, 1, 2) {}
    /// Hypervisor Fine-Grained Write Trap Register 2.
    HFGWTR2_EL2 (3, 4, 3, 1, 3) {}
    /// Hypervisor Debug Fine-Grained Read Trap Register.
    HDFGRTR_EL2 (3, 4, 3, 1, 4) {
        nBRBIDR: 59,
        nBRBCTL: 60,
        nBRBDATA: 61,
        nPMSNEVFR_EL1: 62,
    }
    /// Hypervisor Debug Fine-Grained Write Trap Register: the bits of HDFGRTR_EL2, except nBRBIDR.
    HDFGWTR_EL2 (3, 4, 3, 1, 5) {}
    /// Hypervisor Activity Monitors Fine-Grained Read Trap Register.
    HAFGRTR_EL2 (3, 4, 3, 1, 6) {}
    /// Hypervisor Fine-Grained Instruction Trap Register 2.
    HFGITR2_EL2 (3, 4, 3, 1, 7) {}
    /// Saved Program Status Register of EL2.
    SPSR_EL2 (3, 4, 4, 0, 0) {}
    /// Branch Record Buffer Control Register of EL2.
    BRBCR_EL2 (2, 4, 9, 0, 0) {
        CC: 3,
        MPRED: 4,
    }
    /// Interrupt Controller System Register Enable Register of EL2.
    ICC_SRE_EL2 (3, 4, 12, 9, 5) {
        SRE: 0,
        Enable: 3,
    }
    /// Interrupt Controller Hypervisor Control Register.
    ICH_HCR_EL2 (3, 4, 12, 11, 0) {}
    /// Counter-timer Virtual Offset Register.
    CNTVOFF_EL2 (3, 4, 14, 0, 3) {}
    /// Counter-timer Hypervisor Control Register.
    CNTHCTL_EL2 (3, 4, 14, 1, 0) {
        EL1PCTEN: 0,
        EL1PCEN: 1,
    }
    /// CNTHCTL_EL2 in its layout while HCR_EL2.E2H is 1.
    CNTHCTL_EL2_E2H (3, 4, 14, 1, 0) {
        EL1PCTEN: 10,
        EL1PTEN: 11,
    }

    /// Secure Configuration Register.
    SCR_EL3 (3, 6, 1, 1, 0) {
        NS: 0,
        RES1: 4..=5,
        SMD: 7,
        RW: 10,
        APK: 16,
        API: 17,
        ATA: 26,
        FGTEn: 27,
        ECVEn: 28,
        HXEn: 38,
        GCSEn: 39,
        EnTP2: 41,
        TCR2En: 43,
        SCTLR2En: 44,
        PIEn: 45,
        EnFPM: 50,
        FGTEn2: 59,
    }
    /// Architectural Feature Trap Register of EL3.
    CPTR_EL3 (3, 6, 1, 1, 2) {
        EZ: 8,
        ESM: 12,
    }
    /// SVE Control Register of EL3.
    ZCR_EL3 (3, 6, 1, 2, 0) {
        LEN: 0..=3,
    }
    /// SME Control Register of EL3.
    SMCR_EL3 (3, 6, 1, 2, 6) {
        LEN: 0..=3,
        EZT0: 30,
        FA64: 31,
    }
    /// Monitor Debug Configuration Register of EL3.
    MDCR_EL3 (3, 6, 1, 3, 1) {
        EnPM2: 7,
        NSPB: 12..=13,
        NSTB: 24..=25,
        SBRBE: 32..=33,
        EnPMSN: 36,
        EnPMS3: 42,
    }
    /// Saved Program Status Register of EL3.
    SPSR_EL3 (3, 6, 4, 0, 0) {}
    /// Interrupt Controller System Register Enable Register of EL3.
    ICC_SRE_EL3 (3, 6, 12, 12, 5) {
        SRE: 0,
        Enable: 3,
    }
}

/// SCTLR_EL1 with MMU and caches off, little-endian: the bits that are RES1 without optional
/// features.
pub const SCTLR_EL1_MMU_OFF: u64 = SCTLR_EL1::EOS
    | SCTLR_EL1::TSCXT
    | SCTLR_EL1::EIS
    | SCTLR_EL1::SPAN
    | SCTLR_EL1::nTLSMD
    | SCTLR_EL1::LSMAOE;

/// SCTLR_EL2 with MMU and caches off, little-endian: the bits that are RES1 without optional
/// features.
pub const SCTLR_EL2_MMU_OFF: u64 = SCTLR_EL2::SA0
    | SCTLR_EL2::CP15BEN
    | SCTLR_EL2::EOS
    | SCTLR_EL2::nTWI
    | SCTLR_EL2::nTWE
    | SCTLR_EL2::EIS
    | SCTLR_EL2::SPAN
    | SCTLR_EL2::nTLSMD
    | SCTLR_EL2::LSMAOE;

/// CPTR_EL2 that traps nothing except SVE and SME: the bits that are RES1 without these.
pub const CPTR_EL2_RES1: u64 =
    CPTR_EL2::RES1_7_0 | CPTR_EL2::TZ | CPTR_EL2::RES1_9 | CPTR_EL2::TSM | CPTR_EL2::RES1_13;

/// All of PSTATE.{D,A,I,F} in SPSR_ELx: debug exceptions, SError, IRQ and FIQ are masked.
const SPSR_DAIF: u64 = mask(6, 9);
/// SPSR_ELx for a return to EL1 with its own stack pointer (M = 0b0101), all interrupts masked.
pub const SPSR_EL1H_MASKED: u64 = SPSR_DAIF | 0b0101;
/// SPSR_ELx for a return to EL2 with its own stack pointer (M = 0b1001), all interrupts masked.
pub const SPSR_EL2H_MASKED: u64 = SPSR_DAIF | 0b1001;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn fields_of_a_register_do_not_overlap() {
        for (register, _, fields) in ALL {
            let mut taken = 0;
            for (name, bits) in *fields {
                assert_eq!(taken & bits, 0, "{register}.{name}");
                assert_ne!(*bits, 0, "{register}.{name}");
                taken |= bits;
            }
        }
    }

    #[test]
    fn no_two_registers_have_one_encoding_except_the_two_layouts_of_one() {
        let mut names = BTreeMap::new();
        for (name, encoding, _) in ALL {
            if let Some(other) = names.insert(encoding, name) {
                assert_eq!(std::format!("{other}_E2H"), **name);
            }
        }
    }

    /// The instruction words are `mrs x0, REGISTER`, assembled by LLVM 14.
    #[test]
    fn encodings_are_those_of_instructions() {
        let mrs_x0 = |encoding: u16| 0xd520_0000 | u32::from(encoding) << 5;
        assert_eq!(mrs_x0(ID_AA64PFR0_EL1.encoding()), 0xd538_0400);
        assert_eq!(mrs_x0(HCR_EL2.encoding()), 0xd53c_1100);
        assert_eq!(mrs_x0(BRBCR_EL2.encoding()), 0xd534_9000);
        assert_eq!(mrs_x0(MDCR_EL3.encoding()), 0xd53e_1320);
        assert_eq!(mrs_x0(PMCR_EL0.encoding()), 0xd53b_9c00);
    }

    #[test]
    fn fields_are_read_by_their_mask() {
        assert_eq!(field(0x4103_3000, PMCR_EL0::N), 6);
        assert_eq!(field(u64::MAX, ID_AA64ISAR1_EL1::LS64), 15);
        assert_eq!(ID_AA64ISAR1_EL1::LS64, 0xf << 60);
        assert_eq!(SCR_EL3::FGTEn2, 1 << 59);
    }
}
