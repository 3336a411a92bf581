// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::source::DEFAULT_CACHE_LENGTH;

/// The largest target window of xdelta3 3.1 in bytes (`XD3_HARDMAXWINSIZE`), and so of fwup 1.16.
/// By default xdelta3 makes windows of 8 MiB.
pub const XDELTA3_LARGEST_WINDOW: u64 = 64 << 20;

/// The bytes of a delta that are read at once.
pub(super) const INPUT_LENGTH: usize = 64 << 10;

/// How much memory a decoder may take.
///
/// It takes the length of one target window, at most twice that for the window's sections, and the
/// cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// The largest target window in bytes. A window that declares more is refused before any
    /// memory is reserved for it.
    pub largest_window: u64,
    /// The longest application header in bytes. The decoder skips it, [`check`](super::check)
    /// keeps it.
    pub longest_application_header: u64,
    /// The cache for the source in bytes; at least one block of
    /// [`BLOCK_LENGTH`](crate::source::BLOCK_LENGTH) is cached.
    pub cache_length: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            largest_window: XDELTA3_LARGEST_WINDOW,
            longest_application_header: 64 << 10,
            cache_length: DEFAULT_CACHE_LENGTH,
        }
    }
}
