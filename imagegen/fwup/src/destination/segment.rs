// SPDX-License-Identifier: MIT OR Apache-2.0

//! A segment of the cache, with a dirty bit for each block.

use std::ops::Range;

/// The size of a segment in bytes: the unit of the cache and of an image's growth.
pub const SEGMENT: u64 = 128 << 10;

/// The size of a block in bytes.
pub(super) const BLOCK: usize = 512;

/// The blocks in a segment.
const BLOCKS: usize = SEGMENT as usize / BLOCK;

pub(super) struct Segment {
    bytes: Vec<u8>,
    /// One bit per block.
    dirty: [u64; BLOCKS / 64],
    /// The device's clock at the last write.
    pub(super) age: u64,
}

impl Segment {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; SEGMENT as usize],
            dirty: [0; BLOCKS / 64],
            age: 0,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_dirty(&self, block: usize) -> bool {
        self.dirty
            .get(block / 64)
            .is_some_and(|word| word & (1 << (block % 64)) != 0)
    }

    /// Writes bytes, and marks the blocks that contain them as dirty.
    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
        for block in at / BLOCK..(at + data.len()).div_ceil(BLOCK) {
            self.dirty[block / 64] |= 1 << (block % 64);
        }
    }

    /// Copies the dirty blocks over `out`.
    pub(super) fn read(&self, at: usize, out: &mut [u8]) {
        for run in self.runs() {
            let (start, end) = (run.start.max(at), run.end.min(at + out.len()));
            if start < end {
                out[start - at..end - at].copy_from_slice(&self.bytes[start..end]);
            }
        }
    }

    /// Returns the dirty bytes, in as few ranges as possible.
    pub(super) fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for block in (0..BLOCKS).filter(|block| self.is_dirty(*block)) {
            let bytes = block * BLOCK..(block + 1) * BLOCK;
            match runs.last_mut() {
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                _ => runs.push(bytes),
            }
        }
        runs
    }
}
