// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine around the CPU: memory, device tree, console, interrupt controller, power, and the
//! overrides on QEMU's command line.

pub(crate) mod console;
pub(crate) mod device_tree;
pub(crate) mod fw_cfg;
pub(crate) mod gic;
pub(crate) mod memory;
pub(crate) mod power;
