// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deltas in the format VCDIFF (RFC 3284), as `xdelta3 -e -S none` makes them: with xdelta3's
//! application header and checksum of each window, without secondary compression.
//!
//! A [`decode::Decoder`] or [`decode::Patched`] makes the target from a source and a delta that
//! arrives in pieces, in bounded memory. [`encode::encode`] makes a delta. [`decode::check`] and
//! [`decode::inspect`] tell about a delta without its source.
//!
//! No crate did this: `oxidelta` 0.1 reserves whatever a window declares and pulls in compressors,
//! `vcdiff-decoder` 1.0 needs a seekable delta and does not know xdelta3's checksums, and
//! `xdelta3` and `vcdiff` bind C code. Each direction takes only a few hundred lines.

#![forbid(unsafe_code)]

pub mod decode;
pub mod encode;
mod format;
pub mod source;

pub use format::file_header::{HeaderFault, SecondaryCompressor};
pub use format::window_header::{Segment, WindowFault, WindowHeader};
