// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the system registers of a CPU, real or simulated.

use crate::cpu::features::Feature;
use crate::cpu::registers::Register;

/// The system registers of the current CPU.
pub trait SystemRegisters {
    /// Reads a register.
    fn read<const REGISTER: u16>(&self, register: Register<REGISTER>) -> u64;

    /// Writes a register. The instructions that follow may see the old value until
    /// [`synchronize`](Self::synchronize).
    fn write<const REGISTER: u16>(&mut self, register: Register<REGISTER>, value: u64);

    /// Makes the effects of all writes visible to the instructions that follow (ISB).
    fn synchronize(&mut self);

    /// Whether the CPU has the feature.
    fn has<const REGISTER: u16, const FIELD: u64, const LEAST: u64, const END: u64>(
        &self,
        feature: Feature<REGISTER, FIELD, LEAST, END>,
    ) -> bool {
        feature.is_in(self.read(Register::<REGISTER>))
    }
}

/// `bits!(cpu, REGISTER { FEATURE => BIT | BIT, … })`: the bits of all rows whose feature the CPU
/// has.
macro_rules! bits {
    ($cpu:ident, $register:ident { $( $feature:ident => $($bit:ident)|+ ),+ $(,)? }) => {{
        let mut value: u64 = 0;
        $(
            if $cpu.has($feature) {
                value |= $( $register::$bit )|+;
            }
        )+
        value
    }};
}

pub(crate) use bits;
