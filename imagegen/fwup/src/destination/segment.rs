// SPDX-License-Identifier: MIT OR Apache-2.0

//! A segment of the cache, with a valid bit and a dirty bit for each block.

use std::ops::Range;

use super::aligned::AlignedBytes;

/// The size of a segment in bytes: the unit of the cache and of an image's growth.
pub const SEGMENT: u64 = 128 << 10;

/// The size of a block in bytes.
pub(super) const BLOCK: usize = 512;

/// The blocks in a segment.
const BLOCKS: usize = SEGMENT as usize / BLOCK;

pub(super) struct Segment {
    bytes: AlignedBytes,
    valid: BlockSet,
    dirty: BlockSet,
    /// The device's clock at the last access.
    pub(super) age: u64,
}

impl Segment {
    /// Creates a segment without valid blocks.
    pub(super) fn new() -> Self {
        Self {
            bytes: AlignedBytes::zeroed(SEGMENT as usize),
            valid: BlockSet::default(),
            dirty: BlockSet::default(),
            age: 0,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether all blocks that contain these bytes are valid.
    pub(super) fn is_valid(&self, bytes: Range<usize>) -> bool {
        blocks(bytes).all(|block| self.valid.contains(block))
    }

    /// Writes bytes, and marks the blocks that contain them as valid and dirty.
    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        self.refresh(at, data);
        blocks(at..at + data.len()).for_each(|block| self.dirty.insert(block));
    }

    /// Stores whole blocks that are the same on the disk, and marks them as valid.
    pub(super) fn refresh(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
        blocks(at..at + data.len()).for_each(|block| {
            self.valid.insert(block);
            self.dirty.remove(block);
        });
    }

    /// Makes the blocks that contain these bytes valid. `read` reads them from the disk, from an
    /// offset in the segment. Blocks that are valid already keep their contents.
    pub(super) fn fill<E>(
        &mut self,
        bytes: Range<usize>,
        read: impl FnOnce(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let blocks = blocks(bytes);
        let start = blocks.start * BLOCK;
        if blocks.len() == BLOCKS && self.valid == BlockSet::default() {
            read(start, &mut self.bytes)?;
            self.valid = BlockSet::ALL;
            return Ok(());
        }
        let mut stored = AlignedBytes::zeroed(blocks.len() * BLOCK);
        read(start, &mut stored)?;
        for (block, stored) in blocks.zip(stored.chunks(BLOCK)) {
            if !self.valid.contains(block) {
                self.bytes[block * BLOCK..][..BLOCK].copy_from_slice(stored);
                self.valid.insert(block);
            }
        }
        Ok(())
    }

    /// Marks all blocks as clean: they are on the disk.
    pub(super) fn clean(&mut self) {
        self.dirty = BlockSet::default();
    }

    /// Returns the dirty bytes, in as few ranges as possible.
    pub(super) fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for block in (0..BLOCKS).filter(|block| self.dirty.contains(*block)) {
            let bytes = block * BLOCK..(block + 1) * BLOCK;
            match runs.last_mut() {
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                _ => runs.push(bytes),
            }
        }
        runs
    }
}

/// The blocks that contain these bytes.
fn blocks(bytes: Range<usize>) -> Range<usize> {
    bytes.start / BLOCK..bytes.end.div_ceil(BLOCK)
}

/// One bit for each block of a segment.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct BlockSet([u64; BLOCKS / 64]);

impl BlockSet {
    const ALL: Self = Self([u64::MAX; BLOCKS / 64]);

    fn contains(self, block: usize) -> bool {
        self.0[block / 64] & (1 << (block % 64)) != 0
    }

    fn insert(&mut self, block: usize) {
        self.0[block / 64] |= 1 << (block % 64);
    }

    fn remove(&mut self, block: usize) {
        self.0[block / 64] &= !(1 << (block % 64));
    }
}
