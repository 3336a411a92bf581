// SPDX-License-Identifier: MIT OR Apache-2.0

//! The flattened device tree: read, understood and edited.

pub mod edit;
pub mod fdt;
pub mod gic;
pub mod machine;
pub mod memory_map;
