// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sets up EL2 for a kernel at EL1: nothing that Linux uses is trapped.
//!
//! Source: Linux, `Documentation/arch/arm64/booting.rst`, section 4, for an entry at EL1. Not
//! covered: GICv5, auxiliary activity monitors, and HCRX_EL2.MCE2, which needs a hypervisor.

use crate::cpu::access::{SystemRegisters, bits};
use crate::cpu::features::*;
use crate::cpu::registers::{self, *};

/// Sets up a CPU at EL2 so that an exception return enters EL1 with MMU and caches off and
/// interrupts masked. The caller sets VBAR_EL2 and ELR_EL2. Registers that the CPU does not have
/// are not accessed.
pub fn set_up(cpu: &mut impl SystemRegisters) {
    let sctlr = bits!(cpu, SCTLR_EL2 { FEAT_SME => EnTP2 });
    cpu.write(SCTLR_EL2, SCTLR_EL2_MMU_OFF | sctlr);
    let is_e2h = set_hypervisor_configuration(cpu);
    set_timers(cpu, is_e2h);
    set_vector_units(cpu, is_e2h);
    set_monitors(cpu);
    if cpu.has(FEAT_FGT) {
        set_fine_grained_traps(cpu);
    }
    if cpu.has(FEAT_FGT2) {
        set_second_fine_grained_traps(cpu);
    }
    if cpu.has(FEAT_HCX) {
        // These bits enable instructions and registers.
        let hcrx = bits!(cpu, HCRX_EL2 {
            FEAT_LS64 => EnALS,
            FEAT_LS64_V => EnASR,
            FEAT_MOPS => MSCEn,
            FEAT_TCR2 => TCR2En,
            FEAT_SCTLR2 => SCTLR2En,
            FEAT_GCS => GCSEn,
            FEAT_FPMR => EnFPM,
        });
        cpu.write(HCRX_EL2, hcrx);
    }
    if cpu.has(FEAT_GCS) {
        cpu.write(GCSCR_EL2, 0);
        if is_e2h {
            cpu.write(GCSCR_EL12, 0);
        } else {
            cpu.write(GCSCR_EL1, 0);
        }
        cpu.write(GCSCRE0_EL1, 0);
    }
    if cpu.has(FEAT_GICv3) {
        set_interrupt_controller(cpu);
    }
    // With E2H, the name SCTLR_EL1 accesses SCTLR_EL2.
    if is_e2h {
        cpu.write(SCTLR_EL12, SCTLR_EL1_MMU_OFF);
    } else {
        cpu.write(SCTLR_EL1, SCTLR_EL1_MMU_OFF);
    }
    cpu.write(SPSR_EL2, SPSR_EL1H_MASKED);
}

/// Sets HCR_EL2, the stage 2 base, the traps of HSTR_EL2, and the identification that EL1 reads.
/// Returns whether E2H is 1: registers of EL2 then have the FEAT_VHE layout.
fn set_hypervisor_configuration(cpu: &mut impl SystemRegisters) -> bool {
    let mut hcr = HCR_EL2::RW
        | bits!(cpu, HCR_EL2 {
            FEAT_PACQARMA5 => API | APK,
            FEAT_PACIMP => API | APK,
            FEAT_PACQARMA3 => API | APK,
            FEAT_MTE2 => ATA,
        });
    // If E2H can only be 1, it may read as 1 only after it has been written (Linux,
    // `arch/arm64/include/asm/el2_setup.h`).
    if !cpu.has(FEAT_E2H0) {
        hcr |= HCR_EL2::E2H;
    }
    cpu.write(HCR_EL2, hcr);
    cpu.synchronize();
    let is_e2h = cpu.read(HCR_EL2) & HCR_EL2::E2H != 0;
    cpu.write(HSTR_EL2, 0);
    cpu.write(VTTBR_EL2, 0);
    // EL1 reads the same identification as EL2.
    cpu.write(VPIDR_EL2, cpu.read(MIDR_EL1));
    cpu.write(VMPIDR_EL2, cpu.read(MPIDR_EL1));
    is_e2h
}

/// Gives EL1 the physical counter and timer, and a virtual counter without an offset.
fn set_timers(cpu: &mut impl SystemRegisters, is_e2h: bool) {
    let cnthctl = if is_e2h {
        CNTHCTL_EL2_E2H::EL1PCTEN | CNTHCTL_EL2_E2H::EL1PTEN
    } else {
        CNTHCTL_EL2::EL1PCTEN | CNTHCTL_EL2::EL1PCEN
    };
    cpu.write(CNTHCTL_EL2, cnthctl);
    cpu.write(CNTVOFF_EL2, 0);
}

/// Gives EL1 the FPU, SVE and SME, with the longest vectors of this CPU.
fn set_vector_units(cpu: &mut impl SystemRegisters, is_e2h: bool) {
    let cptr = if is_e2h {
        CPTR_EL2_E2H::FPEN
            | bits!(cpu, CPTR_EL2_E2H {
                FEAT_SVE => ZEN,
                FEAT_SME => SMEN,
            })
    } else {
        CPTR_EL2_RES1
            & !bits!(cpu, CPTR_EL2 {
                FEAT_SVE => TZ,
                FEAT_SME => TSM,
            })
    };
    cpu.write(CPTR_EL2, cptr);
    cpu.synchronize();
    if cpu.has(FEAT_SVE) {
        cpu.write(ZCR_EL2, ZCR_EL2::LEN);
    }
    if cpu.has(FEAT_SME) {
        // FA64 and EZT0 are RES0 on a CPU without FEAT_SME_FA64 and FEAT_SME2.
        let smcr = SMCR_EL2::LEN | SMCR_EL2::FA64 | SMCR_EL2::EZT0;
        cpu.write(SMCR_EL2, cpu.read(SMCR_EL2) | smcr);
    }
}

/// Gives EL1 all performance counters, statistical profiling, the trace buffer and branch records.
/// Starts the activity monitors if EL2 is the highest exception level.
fn set_monitors(cpu: &mut impl SystemRegisters) {
    let mut mdcr = bits!(cpu, MDCR_EL2 {
        FEAT_SPE => E2PB,
        FEAT_TRBE => E2TB,
    });
    if cpu.has(FEAT_PMUv3) {
        // HPMN, the number of counters for EL1, starts at bit 0.
        mdcr |= registers::field(cpu.read(PMCR_EL0), PMCR_EL0::N);
    }
    cpu.write(MDCR_EL2, mdcr);
    if cpu.has(FEAT_BRBE) {
        cpu.write(BRBCR_EL2, BRBCR_EL2::CC | BRBCR_EL2::MPRED);
    }
    if cpu.has(FEAT_AMUv1) && !cpu.has(EL3) {
        cpu.write(AMCNTENSET0_EL0, AMCNTENSET0_EL0::P);
    }
}

/// Disables the traps of FEAT_FGT. A bit traps if it is 1; one whose name starts with n, if it is
/// 0.
fn set_fine_grained_traps(cpu: &mut impl SystemRegisters) {
    let hfgrtr = bits!(cpu, HFGRTR_EL2 {
        FEAT_SME => nTPIDR2_EL0 | nSMPRI_EL1,
        FEAT_S1PIE => nPIR_EL1 | nPIRE0_EL1,
        FEAT_S1POE => nPOR_EL1 | nPOR_EL0,
        FEAT_GCS => nGCS_EL1 | nGCS_EL0,
    });
    cpu.write(HFGRTR_EL2, hfgrtr);
    cpu.write(HFGWTR_EL2, hfgrtr);
    let hfgitr = bits!(cpu, HFGITR_EL2 {
        FEAT_BRBE => nBRBIALL | nBRBINJ,
        FEAT_GCS => nGCSEPP | nGCSSTR_EL1 | nGCSPUSHM_EL1,
    });
    cpu.write(HFGITR_EL2, hfgitr);
    let hdfgrtr = bits!(cpu, HDFGRTR_EL2 {
        FEAT_BRBE => nBRBDATA | nBRBCTL | nBRBIDR,
        FEAT_SPEv1p2 => nPMSNEVFR_EL1,
    });
    cpu.write(HDFGRTR_EL2, hdfgrtr);
    cpu.write(HDFGWTR_EL2, hdfgrtr & !HDFGRTR_EL2::nBRBIDR);
    if cpu.has(FEAT_AMUv1) {
        cpu.write(HAFGRTR_EL2, 0);
    }
}

/// Disables the traps of FEAT_FGT2.
fn set_second_fine_grained_traps(cpu: &mut impl SystemRegisters) {
    let mut hdfgrtr2 = bits!(cpu, HDFGRTR2_EL2 {
        FEAT_PMUv3p9 => nPMICNTR_EL0 | nPMICFILTR_EL0 | nPMUACR_EL1,
    });
    if cpu.has(FEAT_SPE) {
        hdfgrtr2 |= bits!(cpu, HDFGRTR2_EL2 { FEAT_SPE_FDS => nPMSDSFR_EL1 });
    }
    cpu.write(HDFGRTR2_EL2, hdfgrtr2);
    cpu.write(HDFGWTR2_EL2, hdfgrtr2);
    cpu.write(HFGRTR2_EL2, 0);
    cpu.write(HFGWTR2_EL2, 0);
    cpu.write(HFGITR2_EL2, 0);
}

/// Gives EL1 the system registers of a GICv3.
fn set_interrupt_controller(cpu: &mut impl SystemRegisters) {
    let sre = cpu.read(ICC_SRE_EL2);
    cpu.write(ICC_SRE_EL2, sre | ICC_SRE_EL2::SRE | ICC_SRE_EL2::Enable);
    cpu.synchronize();
    // SRE stays 0 if the machine has a GICv2, and ICH_HCR_EL2 is then undefined.
    if cpu.read(ICC_SRE_EL2) & ICC_SRE_EL2::SRE != 0 {
        cpu.write(ICH_HCR_EL2, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::fake::{FakeCpu, cpu_with_everything};

    #[test]
    fn on_a_cortex_a53_only_what_armv8_0_has_is_touched() {
        let mut cpu = FakeCpu::new()
            .having(MIDR_EL1, 0x410f_d034)
            .having(MPIDR_EL1, 0x8000_0000)
            .having(ID_AA64PFR0_EL1, 0x0222)
            .having(ID_AA64DFR0_EL1, 0x1030_5106)
            .having(ID_AA64MMFR0_EL1, 0x1122)
            .having(PMCR_EL0, 0x4103_3000);
        set_up(&mut cpu);
        assert_eq!(
            cpu.writes,
            [
                ("SCTLR_EL2", 0x30c5_0830),
                ("HCR_EL2", 0x8000_0000),
                ("HSTR_EL2", 0),
                ("VTTBR_EL2", 0),
                ("VPIDR_EL2", 0x410f_d034),
                ("VMPIDR_EL2", 0x8000_0000),
                ("CNTHCTL_EL2", 0b11),
                ("CNTVOFF_EL2", 0),
                ("CPTR_EL2", 0x33ff),
                ("MDCR_EL2", 6),
                ("SCTLR_EL1", 0x30d0_0800),
                ("SPSR_EL2", 0x3c5),
            ]
        );
    }

    #[test]
    fn a_neoverse_n1_gives_away_profiling_and_the_gic() {
        let mut cpu = FakeCpu::new()
            .having(MIDR_EL1, 0x414f_d0c1)
            .having(MPIDR_EL1, 0x8100_0000)
            .having(ID_AA64PFR0_EL1, 0x1100_0000_1111_1112)
            .having(ID_AA64PFR1_EL1, 0x20)
            .having(ID_AA64DFR0_EL1, 0x1_1030_5408)
            .having(ID_AA64ISAR1_EL1, 0x10_0001)
            .having(ID_AA64MMFR0_EL1, 0x10_1125)
            .having(ID_AA64MMFR1_EL1, 0x1021_2122)
            .having(PMCR_EL0, 0x410c_3000)
            .having(PMSIDR_EL1, 0)
            .having(ICC_SRE_EL2, 0b110);
        set_up(&mut cpu);
        assert_eq!(
            cpu.writes[8..],
            [
                ("CPTR_EL2", 0x33ff),
                ("MDCR_EL2", 0x3006),
                ("ICC_SRE_EL2", 0b1111),
                ("ICH_HCR_EL2", 0),
                ("SCTLR_EL1", 0x30d0_0800),
                ("SPSR_EL2", 0x3c5),
            ]
        );
    }

    /// The register values are from QEMU 7.2.
    #[test]
    fn qemus_max_has_sve_and_sme_and_nothing_that_traps_them() {
        let mut cpu = FakeCpu::new()
            .having(MIDR_EL1, 0x000f_0510)
            .having(MPIDR_EL1, 0x8000_0000)
            .having(ID_AA64PFR0_EL1, 0x1201_0011_2111_0222)
            .having(ID_AA64PFR1_EL1, 0x0100_0021)
            .having(ID_AA64DFR0_EL1, 0x1030_5609)
            .having(ID_AA64ISAR1_EL1, 0x0011_1111_0121_1012)
            .having(ID_AA64MMFR0_EL1, 0x0323_1020_1126)
            .having(ID_AA64MMFR1_EL1, 0x0110_1021_1122)
            .having(PMCR_EL0, 0x4101_3000)
            .having(SMCR_EL2, 0)
            .having(ICC_SRE_EL2, 0b111);
        set_up(&mut cpu);
        assert_eq!(
            cpu.writes,
            [
                ("SCTLR_EL2", 0x1000_0000_30c5_0830),
                ("HCR_EL2", 0x0300_8000_0000),
                ("HSTR_EL2", 0),
                ("VTTBR_EL2", 0),
                ("VPIDR_EL2", 0x000f_0510),
                ("VMPIDR_EL2", 0x8000_0000),
                ("CNTHCTL_EL2", 0b11),
                ("CNTVOFF_EL2", 0),
                ("CPTR_EL2", 0x22ff),
                ("ZCR_EL2", 0xf),
                ("SMCR_EL2", 0xc000_000f),
                ("MDCR_EL2", 6),
                ("HCRX_EL2", 0),
                ("ICC_SRE_EL2", 0b1111),
                ("ICH_HCR_EL2", 0),
                ("SCTLR_EL1", 0x30d0_0800),
                ("SPSR_EL2", 0x3c5),
            ]
        );
    }

    /// The bit numbers are those of booting.rst.
    #[test]
    fn a_cpu_with_everything_traps_nothing() {
        let mut cpu = cpu_with_everything();
        set_up(&mut cpu);
        let fgt = 0b11 << 52 | 0b11 << 54 | 0b11 << 57 | 0b11 << 59;
        let fgt2 = 0b111 << 2 | 1 << 19;
        assert_eq!(
            cpu.writes,
            [
                ("SCTLR_EL2", 1 << 60 | 0x30c5_0830),
                ("HCR_EL2", 1 << 31 | 0b11 << 40 | 1 << 56),
                ("HSTR_EL2", 0),
                ("VTTBR_EL2", 0),
                ("VPIDR_EL2", 0x1234),
                ("VMPIDR_EL2", 0x8000_0000),
                ("CNTHCTL_EL2", 0b11),
                ("CNTVOFF_EL2", 0),
                ("CPTR_EL2", 0x22ff),
                ("ZCR_EL2", 0xf),
                ("SMCR_EL2", 0b11 << 30 | 0xf),
                ("MDCR_EL2", 0b11 << 24 | 0b11 << 12 | 31),
                ("BRBCR_EL2", 0b11 << 3),
                ("HFGRTR_EL2", fgt),
                ("HFGWTR_EL2", fgt),
                ("HFGITR_EL2", 0b1_1111 << 55),
                ("HDFGRTR_EL2", 0b1111 << 59),
                ("HDFGWTR_EL2", 0b111 << 60),
                ("HAFGRTR_EL2", 0),
                ("HDFGRTR2_EL2", fgt2),
                ("HDFGWTR2_EL2", fgt2),
                ("HFGRTR2_EL2", 0),
                ("HFGWTR2_EL2", 0),
                ("HFGITR2_EL2", 0),
                ("HCRX_EL2", 0b11 << 1 | 1 << 11 | 0b11 << 14 | 0b11 << 22),
                ("GCSCR_EL2", 0),
                ("GCSCR_EL1", 0),
                ("GCSCRE0_EL1", 0),
                ("ICC_SRE_EL2", 0b1001),
                ("ICH_HCR_EL2", 0),
                ("SCTLR_EL1", 0x30d0_0800),
                ("SPSR_EL2", 0x3c5),
            ]
        );
    }

    fn written(cpu: &FakeCpu, register: &str) -> Option<u64> {
        let write = cpu.writes.iter().rfind(|write| write.0 == register);
        write.map(|write| write.1)
    }

    #[test]
    fn with_e2h_registers_have_their_other_layout_and_el1s_their_other_names() {
        // E2H can only be 1: either ID_AA64MMFR4_EL1 says so, or reading HCR_EL2 back shows it.
        let told = cpu_with_everything().having(ID_AA64MMFR4_EL1, 0xf << 24);
        let silent = cpu_with_everything().stuck_at_1(HCR_EL2, 1 << 34);
        for (mut cpu, e2h) in [(told, 1 << 34), (silent, 0)] {
            set_up(&mut cpu);
            let hcr = 1 << 31 | 0b11 << 40 | 1 << 56 | e2h;
            assert_eq!(written(&cpu, "HCR_EL2"), Some(hcr));
            assert_eq!(written(&cpu, "CNTHCTL_EL2"), Some(0b11 << 10));
            let cptr = 0b11 << 16 | 0b11 << 20 | 0b11 << 24;
            assert_eq!(written(&cpu, "CPTR_EL2"), Some(cptr));
            assert_eq!(written(&cpu, "SCTLR_EL12"), Some(0x30d0_0800));
            assert_eq!(written(&cpu, "SCTLR_EL1"), None);
            assert_eq!(written(&cpu, "GCSCR_EL12"), Some(0));
            assert_eq!(written(&cpu, "GCSCR_EL1"), None);
        }
    }

    #[test]
    fn with_a_gicv2_the_registers_of_a_gicv3_stay_off() {
        let mut cpu = cpu_with_everything().stuck_at_0(ICC_SRE_EL2, 1);
        set_up(&mut cpu);
        assert_eq!(written(&cpu, "ICC_SRE_EL2"), Some(0b1001));
        assert_eq!(written(&cpu, "ICH_HCR_EL2"), None);
    }

    #[test]
    fn performance_monitors_of_another_kind_have_no_pmcr() {
        // PMUVer is 15, and all other fields of the register are 0.
        let mut cpu = FakeCpu::new()
            .having(MIDR_EL1, 0)
            .having(MPIDR_EL1, 0)
            .having(ID_AA64DFR0_EL1, 0xf00)
            .having(ID_AA64MMFR0_EL1, 2 << 56);
        set_up(&mut cpu);
        assert_eq!(written(&cpu, "MDCR_EL2"), Some(0));
        assert_eq!(written(&cpu, "HDFGRTR2_EL2"), Some(0));
    }

    #[test]
    fn only_the_highest_level_starts_activity_monitors() {
        let amu = 1 << 44;
        for (el3, expected) in [(0, Some(0xf)), (1 << 12, None)] {
            let mut cpu = FakeCpu::new()
                .having(MIDR_EL1, 0)
                .having(MPIDR_EL1, 0)
                .having(ID_AA64PFR0_EL1, amu | el3);
            set_up(&mut cpu);
            assert_eq!(written(&cpu, "AMCNTENSET0_EL0"), expected);
        }
    }
}
