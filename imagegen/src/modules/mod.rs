// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernel modules from an unpacked kernel package or a root file system: their dependencies, and
//! the order in which they load.

mod error;
#[cfg(test)]
mod fixtures;
mod modinfo;
mod order;
mod similar;
mod tree;

pub use error::ModulesError;
pub use order::{LoadOrder, Module};
pub use tree::ModuleTree;
