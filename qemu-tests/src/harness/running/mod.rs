// SPDX-License-Identifier: MIT OR Apache-2.0

//! A started machine: its serial console can be waited on and written to, and its end is certain.
//!
//! The crates for this (rexpect, expectrl) have one time limit for a whole session, look for new
//! output every tenth of a second, and drop what was matched, while a failing test needs the whole
//! log. So a thread collects the log here, and whoever waits is woken by it.

mod error;
mod pipe;
mod session;

pub use error::{Log, RunError};
pub use session::{Ended, Running};
