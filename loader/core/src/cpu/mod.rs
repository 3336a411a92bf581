// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPU at EL2 and EL3: the registers to set before a kernel can run at EL1, by what the CPU
//! has.
//!
//! The set-up is a table: a row names a feature and the bits that it needs in a register, as the
//! Arm ARM and Linux's `Documentation/arch/arm64/booting.rst` (section 4) name them. [`features`]
//! says which field of an identification register shows a feature, [`registers`] has the encodings
//! of registers and the positions of bits, and [`el2`] and [`el3`] have the rows.
//!
//! The code knows the CPU as [`access::SystemRegisters`]: the loader implements it by MRS and MSR,
//! the tests by a map.

pub mod access;
pub mod el2;
pub mod el3;
#[cfg(test)]
mod fake;
pub mod features;
pub mod registers;
