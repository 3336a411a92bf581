// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `cargo qemu` is made of: setting up, building for bare metal, and a harness that runs QEMU under a time limit.
//!
//! The harness is [`machine::Machine`] (a typed QEMU command line) and [`running::Running`] (a started machine whose
//! serial console can be waited on). A test reads as its scenario:
//!
//! ```no_run
//! use qemu_tests::machine::{Disk, Machine};
//!
//! # fn main() -> Result<(), qemu_tests::running::RunError> {
//! let mut machine = Machine::new("little-loader.elf").memory_mib(128).disk(Disk::new("disk.img")).start()?;
//! machine.expect("slot b")?;
//! machine.wait_for_exit()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod artifacts;
pub mod bench;
pub mod build;
pub mod combinations;
pub mod demo;
pub mod emulator;
pub mod gdb;
pub mod machine;
pub mod output;
pub mod paths;
pub mod payload;
pub mod process;
pub mod report;
pub mod running;
pub mod scratch;
pub mod setup;
pub mod toolchain;
pub mod tree;
pub mod write_log;
