// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine around the CPU: memory, device tree, console, power, and what QEMU's command line
//! says.

pub(crate) mod console;
pub(crate) mod device_tree;
pub(crate) mod fw_cfg;
pub(crate) mod gic;
pub(crate) mod memory;
pub(crate) mod power;
