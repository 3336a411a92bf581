// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cost of a boot, wherever possible in counts that do not depend on the host's speed.

pub mod accesses;
pub mod against;
pub mod budget;
pub mod disks;
mod error;
mod execution;
pub mod exits;
pub mod firmware;
pub mod fit;
pub mod host;
pub mod instructions;
pub mod linux;
pub mod page;
pub mod profile;
pub mod size;
pub mod svg;
pub mod symbols;
pub mod touched;
pub mod versus_fwup;

pub use error::BenchError;
