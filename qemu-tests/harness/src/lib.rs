// SPDX-License-Identifier: MIT OR Apache-2.0

//! A harness that runs QEMU's `virt` machine under a time limit and waits for texts on its serial
//! console.
//!
//! The harness does not depend on the rest of Little Loader, so the tests of other bare-metal projects
//! can use it unchanged. [`machine::Machine`] is a typed QEMU command line,
//! [`running::Running`] a started machine. A test reads as its scenario:
//!
//! ```no_run
//! use qemu_harness::machine::{Disk, Machine};
//!
//! # fn main() -> Result<(), qemu_harness::running::RunError> {
//! let mut machine = Machine::new("loader.elf").memory_mib(128).disk(Disk::new("disk.img")).start()?;
//! machine.expect("slot b")?;
//! machine.wait_for_exit()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod combinations;
pub mod emulator;
pub mod execution_log;
pub mod gdb;
pub mod kvm_host;
pub mod machine;
pub mod newc;
pub mod payload;
pub mod process;
pub mod report;
pub mod running;
pub mod tree;
pub mod write_log;
