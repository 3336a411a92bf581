// SPDX-License-Identifier: MIT OR Apache-2.0

//! A simulated CPU for tests, with a given set of registers and a list of all writes.

extern crate std;

use std::collections::BTreeMap;
use std::vec::Vec;

use crate::cpu::access::SystemRegisters;
use crate::cpu::registers::{self, Register};

/// A CPU whose identification registers are 0 until [`having`](Self::having) sets them.
#[derive(Default)]
pub(super) struct FakeCpu {
    values: BTreeMap<u16, u64>,
    stuck_at_0: BTreeMap<u16, u64>,
    stuck_at_1: BTreeMap<u16, u64>,
    /// The register name and value of each write, in order.
    pub(super) writes: Vec<(&'static str, u64)>,
}

impl FakeCpu {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn having<const REGISTER: u16>(mut self, _: Register<REGISTER>, value: u64) -> Self {
        self.values.insert(REGISTER, value);
        self
    }

    pub(super) fn stuck_at_0<const REGISTER: u16>(
        mut self,
        _: Register<REGISTER>,
        bits: u64,
    ) -> Self {
        self.stuck_at_0.insert(REGISTER, bits);
        self
    }

    pub(super) fn stuck_at_1<const REGISTER: u16>(
        mut self,
        _: Register<REGISTER>,
        bits: u64,
    ) -> Self {
        self.stuck_at_1.insert(REGISTER, bits);
        self
    }
}

fn name(encoding: u16) -> &'static str {
    let register = registers::ALL.iter().find(|row| row.1 == encoding);
    register.expect("a register of the table").0
}

impl SystemRegisters for FakeCpu {
    fn read<const REGISTER: u16>(&self, _: Register<REGISTER>) -> u64 {
        let name = name(REGISTER);
        match self.values.get(&REGISTER) {
            Some(value) => *value,
            None if name.starts_with("ID_") => 0,
            None => panic!("this CPU does not have {name}"),
        }
    }

    fn write<const REGISTER: u16>(&mut self, _: Register<REGISTER>, value: u64) {
        self.writes.push((name(REGISTER), value));
        let bits = |map: &BTreeMap<u16, u64>| map.get(&REGISTER).copied().unwrap_or(0);
        let value = value & !bits(&self.stuck_at_0) | bits(&self.stuck_at_1);
        self.values.insert(REGISTER, value);
    }

    fn synchronize(&mut self) {}
}

/// Returns a CPU with every feature of the table, including FEAT_E2H0: fields of identification
/// registers are 15, except where 15 means that a feature is missing. There are 31 performance
/// counters.
pub(super) fn cpu_with_everything() -> FakeCpu {
    use registers::*;
    FakeCpu::new()
        .having(MIDR_EL1, 0x1234)
        .having(MPIDR_EL1, 0x8000_0000)
        .having(ID_AA64PFR0_EL1, u64::MAX)
        .having(ID_AA64PFR1_EL1, u64::MAX)
        .having(ID_AA64PFR2_EL1, u64::MAX)
        .having(ID_AA64DFR0_EL1, 0xffff_ffff_ffff_f9ff)
        .having(ID_AA64ISAR1_EL1, u64::MAX)
        .having(ID_AA64ISAR2_EL1, u64::MAX)
        .having(ID_AA64MMFR0_EL1, u64::MAX)
        .having(ID_AA64MMFR1_EL1, u64::MAX)
        .having(ID_AA64MMFR3_EL1, u64::MAX)
        .having(ID_AA64MMFR4_EL1, 0xffff_ffff_f0ff_ffff)
        .having(PMSIDR_EL1, 1 << 7)
        .having(PMCR_EL0, 31 << 11)
        .having(SMCR_EL2, 0)
        .having(ICC_SRE_EL2, 0)
        .having(ICC_SRE_EL3, 0)
}
