// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds and installs the tools and files for building, booting and testing.
//!
//! Each run checks everything by looking at files only, so a run with nothing to do is fast.
//! Missing parts come from the system's apt (programs), from rustup or a Debian archive (the
//! bare-metal standard library) and from a Debian archive (kernels and busybox for the guest). Each
//! step prints a line on stderr.

mod announce;
pub mod cross;
pub mod debian;
pub mod programs;
mod purpose;
mod requirements;
pub mod rust_std;

pub use purpose::Purpose;
pub use requirements::{Item, SetupError, check, ensure, ensure_arm_qemu, ensure_kernels};
