// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads, chooses among copies, repairs, changes and writes the U-Boot environment.

pub mod block;
pub mod changes;
mod checksum;
pub mod open;
pub mod place;
pub mod repair;
#[cfg(test)]
mod repair_oracle;
pub mod size_hint;
pub mod writer;
