// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of fwup, for the program `fwup` and for `imagegen fwup`.
//!
//! The output is fwup's, on the same streams; the exit status is 0 or 1. If fwup omits the cause of
//! an error, the message here continues with a colon and the cause.

mod amount;
mod apply;
mod cards;
mod delta;
mod events;
mod frames;
mod keys;
mod options;
mod progress_line;
mod reboot_parameter;
mod report;
mod run;
mod stdout;

pub use apply::ApplyCommand;
pub use options::{HelpEntry, help_entries};
pub use report::ProgressMode;
pub use run::run;
pub use stdout::print;
