// SPDX-License-Identifier: MIT OR Apache-2.0

//! fwup's options, in the manner of GNU's getopt_long: options may follow arguments, long ones may
//! be shortened, short ones may be joined.

mod error;
mod known;
#[expect(
    clippy::module_inception,
    reason = "the struct that the folder is about"
)]
mod options;
mod parse;
#[cfg(test)]
mod tests;

pub(crate) use error::OptionsError;
pub(crate) use known::help;
pub use known::{HelpEntry, help_entries};
pub(crate) use options::{Operation, Options};
