// SPDX-License-Identifier: MIT OR Apache-2.0

//! Features of the architecture, and the fields of identification registers that show them.
//!
//! Source: Arm ARM (DDI 0487), chapter A2 for the features, D19 for the registers.

#![expect(
    non_upper_case_globals,
    reason = "features have the names that the architecture gives them"
)]

use crate::cpu::registers::{self, *};

/// A feature that a CPU has if the field with the mask `FIELD` of the register with the encoding
/// `REGISTER` is at least `LEAST` and less than `END`.
#[derive(Clone, Copy, Debug)]
pub struct Feature<const REGISTER: u16, const FIELD: u64, const LEAST: u64, const END: u64>;

impl<const REGISTER: u16, const FIELD: u64, const LEAST: u64, const END: u64>
    Feature<REGISTER, FIELD, LEAST, END>
{
    /// Whether the register with this value shows the feature.
    #[must_use]
    pub const fn is_in(self, register: u64) -> bool {
        let value = registers::field(register, FIELD);
        LEAST <= value && value < END
    }
}

/// Defines a constant for each row `FEATURE: REGISTER.FIELD >= LEAST`. `< END` limits the values.
macro_rules! features {
    ($(
        $(#[$about:meta])*
        $feature:ident: $register:ident . $field:ident >= $least:literal $(< $end:literal)?
    )+) => {
        $(
            $(#[$about])*
            #[doc = concat!(
                "\n\n", stringify!($register), ".", stringify!($field), " >= ", $least,
                $(" and < ", $end,)? "."
            )]
            pub const $feature: Feature<
                { $register.encoding() },
                { $register::$field },
                $least,
                { u64::MAX $( - u64::MAX + $end )? },
            > = Feature;
        )+
    };
}

features! {
    /// EL2.
    EL2: ID_AA64PFR0_EL1.EL2 >= 1
    /// EL3.
    EL3: ID_AA64PFR0_EL1.EL3 >= 1
    /// The system registers of a GICv3 or GICv4.
    FEAT_GICv3: ID_AA64PFR0_EL1.GIC >= 1
    /// HCR_EL2.E2H can be 0; without this feature, EL2 has only the FEAT_VHE layout. The field is
    /// signed: it is negative if the feature is missing.
    FEAT_E2H0: ID_AA64MMFR4_EL1.E2H0 >= 0 < 8

    /// CRC-32 instructions.
    FEAT_CRC32: ID_AA64ISAR0_EL1.CRC32 >= 1

    /// Pointer authentication with QARMA5.
    FEAT_PACQARMA5: ID_AA64ISAR1_EL1.APA >= 1
    /// Pointer authentication with an implementation defined algorithm.
    FEAT_PACIMP: ID_AA64ISAR1_EL1.API >= 1
    /// Pointer authentication with QARMA3.
    FEAT_PACQARMA3: ID_AA64ISAR2_EL1.APA3 >= 1
    /// Memory Tagging Extension, with tags in memory.
    FEAT_MTE2: ID_AA64PFR1_EL1.MTE >= 2
    /// Guarded control stacks.
    FEAT_GCS: ID_AA64PFR1_EL1.GCS >= 1

    /// Scalable Vector Extension.
    FEAT_SVE: ID_AA64PFR0_EL1.SVE >= 1
    /// Scalable Matrix Extension.
    FEAT_SME: ID_AA64PFR1_EL1.SME >= 1
    /// Floating-point Mode Register.
    FEAT_FPMR: ID_AA64PFR2_EL1.FPMR >= 1

    /// Performance Monitors Extension version 3; 15 means an implementation defined kind.
    FEAT_PMUv3: ID_AA64DFR0_EL1.PMUVer >= 1 < 15
    /// Performance Monitors Extension of Armv8.9.
    FEAT_PMUv3p9: ID_AA64DFR0_EL1.PMUVer >= 9 < 15
    /// Statistical Profiling Extension.
    FEAT_SPE: ID_AA64DFR0_EL1.PMSVer >= 1
    /// Statistical Profiling Extension of Armv8.7.
    FEAT_SPEv1p2: ID_AA64DFR0_EL1.PMSVer >= 3
    /// Statistical profiling with filtering by data source. PMSIDR_EL1 exists only with FEAT_SPE.
    FEAT_SPE_FDS: PMSIDR_EL1.FDS >= 1
    /// Trace Buffer Extension.
    FEAT_TRBE: ID_AA64DFR0_EL1.TraceBuffer >= 1
    /// Branch Record Buffer Extension.
    FEAT_BRBE: ID_AA64DFR0_EL1.BRBE >= 1
    /// Activity Monitors Extension.
    FEAT_AMUv1: ID_AA64PFR0_EL1.AMU >= 1

    /// Fine-grained traps.
    FEAT_FGT: ID_AA64MMFR0_EL1.FGT >= 1
    /// The second set of fine-grained traps.
    FEAT_FGT2: ID_AA64MMFR0_EL1.FGT >= 2
    /// Enhanced counter virtualization.
    FEAT_ECV: ID_AA64MMFR0_EL1.ECV >= 1
    /// HCRX_EL2.
    FEAT_HCX: ID_AA64MMFR1_EL1.HCX >= 1
    /// Memory copy and set instructions.
    FEAT_MOPS: ID_AA64ISAR2_EL1.MOPS >= 1
    /// Loads and stores of 64 bytes.
    FEAT_LS64: ID_AA64ISAR1_EL1.LS64 >= 1
    /// Stores of 64 bytes that return a status.
    FEAT_LS64_V: ID_AA64ISAR1_EL1.LS64 >= 2
    /// TCR2_ELx.
    FEAT_TCR2: ID_AA64MMFR3_EL1.TCRX >= 1
    /// SCTLR2_ELx.
    FEAT_SCTLR2: ID_AA64MMFR3_EL1.SCTLRX >= 1
    /// Stage 1 permission indirection.
    FEAT_S1PIE: ID_AA64MMFR3_EL1.S1PIE >= 1
    /// Stage 1 permission overlay.
    FEAT_S1POE: ID_AA64MMFR3_EL1.S1POE >= 1
}
