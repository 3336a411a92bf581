// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Read, Write};

use super::emit::Sections;
use super::index::SourceIndex;
use super::parse::Parser;
use crate::format::file_header::MAGIC;

/// The longest source in bytes. xdelta3 counts source segment and target window in 32 bits.
pub const LONGEST_SOURCE: usize = 2 << 30;

/// How a delta is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The length of a target window in bytes, from 1 to
    /// [`XDELTA3_LARGEST_WINDOW`](crate::decode::XDELTA3_LARGEST_WINDOW). Whoever decodes needs as
    /// much memory, up to three times.
    pub window_length: usize,
    /// The most memory in bytes for the index of the source. A place takes 4 bytes: if not every
    /// offset of the source fits, every second one is kept, or fewer, and short copies are missed.
    pub index_length: usize,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            window_length: 8 << 20,
            index_length: 128 << 20,
        }
    }
}

/// Why a delta was not made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The source.
    #[error("the source has {0} bytes, the limit is {LONGEST_SOURCE}; split it")]
    SourceTooLong(usize),
    /// The length of a window.
    #[error("a window of {0} bytes was asked for, expected 1 byte to 64 MiB")]
    WindowLength(usize),
    /// The target cannot be read.
    #[error("cannot read the target at offset {offset}: {error}")]
    Target {
        /// The offset in bytes.
        offset: u64,
        /// The error.
        error: io::Error,
    },
    /// The delta cannot be written.
    #[error("cannot write the delta: {0}")]
    Sink(io::Error),
}

/// Writes a delta that makes `target` from `source`, and returns the target's length in bytes.
///
/// The delta depends on nothing but source, target and options. Besides the source it takes memory
/// for the index, and about 12 times the length of a window.
///
/// # Errors
///
/// When the source is too long, the target cannot be read, or the sink fails.
pub fn encode(
    source: &[u8],
    target: &mut impl Read,
    sink: &mut impl Write,
    options: EncodeOptions,
) -> Result<u64, EncodeError> {
    if source.len() > LONGEST_SOURCE {
        return Err(EncodeError::SourceTooLong(source.len()));
    }
    let length = options.window_length;
    if length == 0 || length as u64 > crate::decode::XDELTA3_LARGEST_WINDOW {
        return Err(EncodeError::WindowLength(length));
    }
    let index = SourceIndex::new(source, options.index_length);
    let mut parser = Parser::new(source, index, length);
    let mut sections = Sections::default();
    let (mut window, mut copies) = (Vec::new(), Vec::new());
    // No bits of the header's indicator: neither compressor nor application header.
    let mut out = [&MAGIC[..], &[0]].concat();
    let mut offset = 0;
    loop {
        window.clear();
        let read = target.take(length as u64).read_to_end(&mut window);
        read.map_err(|error| EncodeError::Target { offset, error })?;
        // xdelta3 expects at least one window.
        if !window.is_empty() || offset == 0 {
            parser.window(&window, &mut copies);
            sections.window(&window, &copies, &mut out);
        }
        sink.write_all(&out).map_err(EncodeError::Sink)?;
        out.clear();
        offset += window.len() as u64;
        if window.len() < length {
            return Ok(offset);
        }
    }
}
