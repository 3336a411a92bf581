// SPDX-License-Identifier: MIT OR Apache-2.0

//! The decisions of Little Loader, without hardware: which slot to boot, what is a kernel, where
//! things go in memory.
//!
//! Everything here is a pure function of bytes and numbers, except [`cpu`], which works on the
//! registers that it is given. The loader's binary feeds it what it read from the disk and the
//! device tree; the host tools and the tests feed it files. Nothing allocates, and nothing is
//! `unsafe`.

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
