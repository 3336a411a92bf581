// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library behind `cargo qemu`: setup of a development machine, bare-metal builds, disks to
//! boot, measurements, and the [`harness`] that runs QEMU.

#![forbid(unsafe_code)]

pub mod artifacts;
pub mod bench;
pub mod build;
pub mod caches;
pub mod demo;
pub mod guests;
pub mod output;
pub mod paths;
pub mod scratch;
pub mod setup;
pub mod toolchain;

pub use qemu_harness as harness;
