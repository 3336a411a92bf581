// SPDX-License-Identifier: MIT OR Apache-2.0

//! A started machine: waits for texts on its serial console, writes to it, and always stops QEMU at
//! the end.
//!
//! The crates for this (rexpect, expectrl) have one time limit for a whole session, poll for output
//! every tenth of a second, and drop matched output, but a failing test needs the whole log. Here a
//! thread collects the log and wakes the waiting test.

mod error;
mod pipe;
mod session;

pub use error::{Log, RunError};
pub use session::{Ended, Running};
