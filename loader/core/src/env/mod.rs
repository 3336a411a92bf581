// SPDX-License-Identifier: MIT OR Apache-2.0

//! The U-Boot environment: read, chosen among copies, repaired, changed and written.

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
