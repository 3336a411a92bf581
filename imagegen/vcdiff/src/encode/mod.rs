// SPDX-License-Identifier: MIT OR Apache-2.0

//! From a source and a target to a delta.

mod candidate;
mod common;
mod emit;
mod encoder;
mod history;
mod index;
mod parse;

pub use encoder::{EncodeError, EncodeOptions, LONGEST_SOURCE, encode};
