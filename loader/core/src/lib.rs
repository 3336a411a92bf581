// SPDX-License-Identifier: MIT OR Apache-2.0

//! The logic of Little Loader, without hardware: which slot to boot, whether a file is a kernel,
//! and where everything goes in memory.
//!
//! Everything here is a pure function of bytes and numbers, or accesses CPU, PCI and disk through a
//! trait that the caller implements. The loader's binary passes in data from the disk and the
//! device tree; the host tools and the tests pass in files. No code allocates or is `unsafe`.

#![no_std]
#![forbid(unsafe_code)]

pub mod cpu;
pub mod disk;
pub mod display;
pub mod env;
pub mod kernel;
pub mod overrides;
pub mod settings;
pub mod slots;
pub mod tree;
pub mod units;
