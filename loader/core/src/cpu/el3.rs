// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sets up EL3 for a kernel in the non-secure state: nothing that Linux uses is trapped.
//!
//! Source: Linux, `Documentation/arch/arm64/booting.rst`, section 4, "If EL3 is present".

use crate::cpu::access::{SystemRegisters, bits};
use crate::cpu::features::*;
use crate::cpu::registers::*;

/// SCR_EL3 while the loader runs: lower levels are AArch64 and secure.
pub const SCR_SECURE: u64 = SCR_EL3::RES1 | SCR_EL3::RW;

/// Sets up a CPU at EL3 so that an exception return enters the non-secure state with interrupts
/// masked, at EL2 if the CPU has it and otherwise at EL1. The caller sets ELR_EL3. Registers that
/// the CPU does not have are not accessed. Returns whether the return enters EL2.
pub fn set_up(cpu: &mut impl SystemRegisters) -> bool {
    // Lower levels are AArch64 and non-secure, and cannot call EL3.
    let scr = SCR_SECURE | SCR_EL3::NS | SCR_EL3::SMD;
    let scr = scr
        | bits!(cpu, SCR_EL3 {
            FEAT_PACQARMA5 => API | APK,
            FEAT_PACIMP => API | APK,
            FEAT_PACQARMA3 => API | APK,
            FEAT_MTE2 => ATA,
            FEAT_FGT => FGTEn,
            FEAT_FGT2 => FGTEn2,
            FEAT_ECV => ECVEn,
            FEAT_HCX => HXEn,
            FEAT_GCS => GCSEn,
            FEAT_SME => EnTP2,
            FEAT_TCR2 => TCR2En,
            FEAT_SCTLR2 => SCTLR2En,
            FEAT_S1PIE => PIEn,
            FEAT_S1POE => PIEn,
            FEAT_FPMR => EnFPM,
        });
    cpu.write(SCR_EL3, scr);
    set_vector_units(cpu);
    set_monitors(cpu);
    if cpu.has(FEAT_GICv3) {
        let sre = cpu.read(ICC_SRE_EL3);
        cpu.write(ICC_SRE_EL3, sre | ICC_SRE_EL3::SRE | ICC_SRE_EL3::Enable);
    }
    if cpu.has(EL2) {
        cpu.write(SCTLR_EL2, SCTLR_EL2_MMU_OFF);
        cpu.write(SPSR_EL3, SPSR_EL2H_MASKED);
        true
    } else {
        cpu.write(SPSR_EL3, SPSR_EL1H_MASKED);
        false
    }
}

/// Enables SVE and SME, with the longest vectors of this CPU.
fn set_vector_units(cpu: &mut impl SystemRegisters) {
    let cptr = bits!(cpu, CPTR_EL3 {
        FEAT_SVE => EZ,
        FEAT_SME => ESM,
    });
    cpu.write(CPTR_EL3, cptr);
    cpu.synchronize();
    if cpu.has(FEAT_SVE) {
        cpu.write(ZCR_EL3, ZCR_EL3::LEN);
    }
    if cpu.has(FEAT_SME) {
        // FA64 and EZT0 are RES0 on a CPU without FEAT_SME_FA64 and FEAT_SME2.
        cpu.write(SMCR_EL3, SMCR_EL3::LEN | SMCR_EL3::FA64 | SMCR_EL3::EZT0);
    }
}

/// Disables the traps of debug, performance counters, profiling and trace. Starts the activity
/// monitors.
fn set_monitors(cpu: &mut impl SystemRegisters) {
    let mut mdcr = bits!(cpu, MDCR_EL3 {
        FEAT_PMUv3p9 => EnPM2,
        FEAT_SPE => NSPB,
        FEAT_SPEv1p2 => EnPMSN,
        FEAT_TRBE => NSTB,
        FEAT_BRBE => SBRBE,
    });
    if cpu.has(FEAT_SPE) {
        mdcr |= bits!(cpu, MDCR_EL3 { FEAT_SPE_FDS => EnPMS3 });
    }
    cpu.write(MDCR_EL3, mdcr);
    if cpu.has(FEAT_AMUv1) {
        cpu.write(AMCNTENSET0_EL0, AMCNTENSET0_EL0::P);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fake::{FakeCpu, cpu_with_everything};

    #[test]
    fn on_a_cortex_a53_only_what_armv8_0_has_is_touched() {
        let cpu = || FakeCpu::new().having(ID_AA64DFR0_EL1, 0x1030_5106);
        let mut with_el2 = cpu().having(ID_AA64PFR0_EL1, 0x2222);
        assert!(set_up(&mut with_el2));
        assert_eq!(
            with_el2.writes,
            [
                ("SCR_EL3", 0x4b1),
                ("CPTR_EL3", 0),
                ("MDCR_EL3", 0),
                ("SCTLR_EL2", 0x30c5_0830),
                ("SPSR_EL3", 0x3c9),
            ]
        );
        let mut without_el2 = cpu().having(ID_AA64PFR0_EL1, 0x2022);
        assert!(!set_up(&mut without_el2));
        assert_eq!(
            without_el2.writes[2..],
            [("MDCR_EL3", 0), ("SPSR_EL3", 0x3c5)]
        );
    }

    /// The bit numbers are those of booting.rst.
    #[test]
    fn a_cpu_with_everything_traps_nothing() {
        let mut cpu = cpu_with_everything();
        assert!(set_up(&mut cpu));
        let features =
            0b11 << 16 | 0b111 << 26 | 0b11 << 38 | 1 << 41 | 0b111 << 43 | 1 << 50 | 1 << 59;
        let mdcr = 1 << 7 | 0b11 << 12 | 0b11 << 24 | 0b11 << 32 | 1 << 36 | 1 << 42;
        assert_eq!(
            cpu.writes,
            [
                ("SCR_EL3", 0x4b1 | features),
                ("CPTR_EL3", 1 << 8 | 1 << 12),
                ("ZCR_EL3", 0xf),
                ("SMCR_EL3", 0b11 << 30 | 0xf),
                ("MDCR_EL3", mdcr),
                ("AMCNTENSET0_EL0", 0xf),
                ("ICC_SRE_EL3", 0b1001),
                ("SCTLR_EL2", 0x30c5_0830),
                ("SPSR_EL3", 0x3c9),
            ]
        );
    }

    #[test]
    fn earlier_profiling_has_no_filter_to_allow() {
        // SPEv1p1.
        let mut cpu = FakeCpu::new()
            .having(ID_AA64DFR0_EL1, 2 << 32)
            .having(PMSIDR_EL1, 0);
        set_up(&mut cpu);
        assert!(cpu.writes.contains(&("MDCR_EL3", 0b11 << 12)));
    }
}
