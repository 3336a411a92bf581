// SPDX-License-Identifier: MIT OR Apache-2.0

//! CPU set-up at EL2 and EL3: the registers to set before a kernel can run at EL1, depending on the
//! features of the CPU.
//!
//! The set-up is a table. Each row has a feature and the register bits that it needs, with the
//! names of the Arm ARM and Linux's `Documentation/arch/arm64/booting.rst` (section 4). The rows
//! are in [`el2`] and [`el3`]; [`features`] maps features to fields of identification registers,
//! and [`registers`] contains register encodings and bit positions.
//!
//! The code accesses the CPU through [`access::SystemRegisters`], which the loader implements with
//! MRS and MSR, and the tests with a map.

pub mod access;
pub mod el2;
pub mod el3;
#[cfg(test)]
mod fake;
pub mod features;
pub mod registers;
