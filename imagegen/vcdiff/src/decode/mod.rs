// SPDX-License-Identifier: MIT OR Apache-2.0

//! From a delta to the target.

mod decoder;
mod error;
pub(crate) mod framing;
mod inspect;
mod instructions;
mod limits;
mod patched;
mod windows;

pub use decoder::Decoder;
pub use error::{DeltaError, InstructionFault, Section};
pub use inspect::{Start, Summary, check, inspect};
pub use limits::{DecodeOptions, XDELTA3_LARGEST_WINDOW};
pub use patched::Patched;
