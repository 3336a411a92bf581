// SPDX-License-Identifier: MIT OR Apache-2.0

//! The decisions of Little Loader, without hardware: which slot to boot, what is a kernel, where things go in memory.
//!
//! Everything here is a pure function of bytes and numbers. The loader's binary feeds it what it read from the disk
//! and the device tree; the host tools and the tests feed it files. Nothing allocates, and nothing is `unsafe`.

#![no_std]
#![forbid(unsafe_code)]

pub mod attempt;
pub mod chosen;
pub mod dtb;
pub mod env;
pub mod fdt;
pub mod gic;
pub mod image;
pub mod level;
pub mod overrides;
pub mod placement;
pub mod policy;
pub mod recover;
pub mod regions;
pub mod repair;
pub mod settings;
pub mod slot;
pub mod text;
pub mod transfer;
pub mod units;
pub mod update;
