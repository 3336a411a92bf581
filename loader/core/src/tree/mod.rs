// SPDX-License-Identifier: MIT OR Apache-2.0

//! The flattened device tree (DTB): its size and format, its nodes, the machine that it describes,
//! and the edit of `/chosen` for the kernel.

pub mod edit;
pub mod error;
pub mod fdt;
pub mod format;
pub mod gic;
pub mod header;
pub mod machine;
pub mod memory_map;
pub mod node;
pub mod pci_host;
pub mod power_pin;
pub mod psci;
pub mod transports;

mod console;
mod reg;
#[cfg(test)]
mod sample_tree;
#[cfg(test)]
mod work;
