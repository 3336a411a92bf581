// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of fwup, for the program `fwup` and for `imagegen fwup`.
//!
//! It prints what fwup prints, on the same stream; the exit status is 0 or 1. Where fwup leaves out
//! the cause of an error, a colon and the cause follow.

mod amount;
mod apply;
mod cards;
mod frames;
mod options;
mod report;
mod run;
mod stdout;

pub use apply::ApplyCommand;
pub use report::ProgressMode;
pub use run::run;
pub use stdout::print;
