// SPDX-License-Identifier: MIT OR Apache-2.0

//! Buffers for direct I/O: Linux transfers data between a disk and memory without a copy only if
//! the memory is aligned.

use std::ops::{Deref, DerefMut};

/// The alignment of buffers in bytes: a memory page, which is enough for every disk.
pub(crate) const PAGE: usize = 4096;

/// Bytes that start at a page boundary.
///
/// Not `Clone`: a copy of the vector could start at another place in its page.
#[derive(Debug, Default)]
pub(crate) struct AlignedBytes {
    /// Never reallocated, so that `start` remains at a page boundary.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBytes {
    /// Allocates `length` zeroes.
    pub(crate) fn zeroed(length: usize) -> Self {
        let memory = vec![0; length + PAGE - 1];
        let start = memory.as_ptr().align_offset(PAGE);
        Self {
            memory,
            start,
            length,
        }
    }

    /// The maximum length in bytes.
    fn capacity(&self) -> usize {
        self.memory.len() - self.start
    }

    /// Changes the length in bytes. The contents are kept; bytes added without an allocation have
    /// unspecified values.
    pub(crate) fn resize(&mut self, length: usize) {
        if length > self.capacity() {
            let mut larger = Self::zeroed(length);
            larger[..self.length].copy_from_slice(self);
            *self = larger;
        }
        self.length = length;
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Whether a disk can read or write these bytes directly.
pub(crate) fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().align_offset(PAGE) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_at_a_page_and_keep_their_contents() {
        let mut bytes = AlignedBytes::default();
        for length in [0, 1, 4096, 100_000, 7, 300_000] {
            let kept = bytes.len().min(length);
            bytes.resize(length);
            assert_eq!(bytes.len(), length);
            assert!(length == 0 || is_aligned(&bytes));
            assert!(bytes[..kept].iter().all(|byte| *byte == 7));
            bytes.fill(7);
        }
        let moved = [bytes];
        assert!(is_aligned(&moved[0]) && !is_aligned(&moved[0][512..]));
    }
}
