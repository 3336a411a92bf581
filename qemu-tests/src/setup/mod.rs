// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding and installing what building, booting and testing need.
//!
//! Everything is looked for on each run, by looking at files only, so that a run with nothing to do
//! takes no time. Missing parts come from the system's apt (programs), from rustup or a Debian
//! archive (the bare-metal standard library) and from a Debian archive (kernels and busybox for the
//! guest), with a line on stderr for each step.

mod announce;
pub mod debian;
pub mod programs;
mod purpose;
mod requirements;
pub mod rust_std;

pub use purpose::Purpose;
pub use requirements::{Item, SetupError, check, ensure, ensure_kernels};
