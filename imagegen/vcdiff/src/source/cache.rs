// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use super::read_at::Source;

/// The bytes of a source that are read and cached together.
pub const BLOCK_LENGTH: usize = 16 << 10;

/// The default size of the cache in bytes. A delta of similar files copies from a few places that
/// move forward, and each needs one block; a delta of kernels with different settings jumps about.
pub const DEFAULT_CACHE_LENGTH: usize = 16 << 20;

/// The most blocks that are read at once without the cache.
const LONGEST_RUN: usize = 64;
/// The places that a block can be cached in.
const WAYS: usize = 4;

/// A block that is cached.
#[derive(Debug)]
struct Slot {
    block: u64,
    /// The time of the last use.
    used: u64,
    data: Vec<u8>,
}

/// A source of which the last used blocks are kept in memory.
///
/// Each block has a few places that it can be in, as in a processor's cache, and replaces the one
/// of them that was not used for longest.
#[derive(Debug)]
pub(crate) struct CachedSource<S> {
    source: S,
    sets: Vec<Vec<Slot>>,
    ways: usize,
    time: u64,
}

impl<S: Source> CachedSource<S> {
    /// Caches at most `length` bytes, but at least one block.
    pub(crate) fn new(source: S, length: usize) -> Self {
        let blocks = (length / BLOCK_LENGTH).max(1);
        let ways = WAYS.min(blocks);
        let mut sets = Vec::new();
        sets.resize_with(blocks / ways, Vec::new);
        Self {
            source,
            sets,
            ways,
            time: 0,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.source.length()
    }

    /// Appends `length` bytes from `offset`, which are within the source.
    pub(crate) fn append(
        &mut self,
        mut offset: u64,
        mut length: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        while length > 0 {
            let block = offset / BLOCK_LENGTH as u64;
            let within = (offset % BLOCK_LENGTH as u64) as usize;
            let mut taken = length.min(BLOCK_LENGTH - within);
            if taken == BLOCK_LENGTH && !self.is_cached(block) {
                // Long copies would only push the blocks of short ones out of the cache.
                let blocks = (length / BLOCK_LENGTH).min(LONGEST_RUN);
                taken = blocks * BLOCK_LENGTH;
                let start = out.len();
                out.resize(start + taken, 0);
                self.source.read_at(offset, &mut out[start..])?;
            } else {
                let data = self.block(block)?;
                out.extend_from_slice(&data[within..within + taken]);
            }
            offset += taken as u64;
            length -= taken;
        }
        Ok(())
    }

    fn set(&self, block: u64) -> usize {
        (block % self.sets.len() as u64) as usize
    }

    fn is_cached(&self, block: u64) -> bool {
        let mut slots = self.sets[self.set(block)].iter();
        slots.any(|slot| slot.block == block)
    }

    fn block(&mut self, block: u64) -> io::Result<&[u8]> {
        self.time += 1;
        let set = self.set(block);
        let slots = &mut self.sets[set];
        let index = match slots.iter().position(|slot| slot.block == block) {
            Some(found) => found,
            None => {
                let oldest = slots.iter().enumerate().min_by_key(|(_, slot)| slot.used);
                let oldest = oldest.map(|(index, _)| index);
                // The buffer is taken out, so that a failed read leaves no block of wrong data.
                let mut data = match oldest {
                    Some(oldest) if slots.len() == self.ways => slots.swap_remove(oldest).data,
                    _ => Vec::new(),
                };
                let start = block * BLOCK_LENGTH as u64;
                let left = self.source.length().saturating_sub(start);
                data.resize(left.min(BLOCK_LENGTH as u64) as usize, 0);
                self.source.read_at(start, &mut data)?;
                slots.push(Slot {
                    block,
                    used: 0,
                    data,
                });
                slots.len() - 1
            }
        };
        let slot = &mut slots[index];
        slot.used = self.time;
        Ok(&slot.data)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// A source that counts the reads, and checks their alignment.
    struct Counted<'a> {
        data: &'a [u8],
        reads: &'a Cell<usize>,
        fails: bool,
    }

    impl Source for Counted<'_> {
        fn length(&self) -> u64 {
            self.data.len() as u64
        }

        fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.reads.set(self.reads.get() + 1);
            assert!(offset.is_multiple_of(BLOCK_LENGTH as u64));
            let end = offset as usize + out.len();
            assert!(end.is_multiple_of(BLOCK_LENGTH) || end == self.data.len());
            if self.fails && self.reads.get().is_multiple_of(2) {
                return Err(io::ErrorKind::Other.into());
            }
            self.data.read_at(offset, out)
        }
    }

    fn data(length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| (at ^ at >> 8 ^ at >> 16) as u8)
            .collect()
    }

    #[test]
    fn a_block_in_use_is_read_once() {
        let (data, reads) = (data(3 * BLOCK_LENGTH), Cell::new(0));
        let source = Counted {
            data: &data,
            reads: &reads,
            fails: false,
        };
        let mut cached = CachedSource::new(source, 2 * BLOCK_LENGTH);
        let (second, third) = (BLOCK_LENGTH as u64 + 5, 2 * BLOCK_LENGTH as u64 + 5);
        for offset in [5, second, 6, second + 1, third, second + 2] {
            let mut out = Vec::new();
            cached.append(offset, 9, &mut out).unwrap();
            assert_eq!(out, &data[offset as usize..][..9]);
        }
        assert_eq!(reads.get(), 3);
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_source(
            length in 1_usize..5 * BLOCK_LENGTH,
            ranges in prop::collection::vec(any::<(Index, Index)>(), 1..20),
            blocks in 0_usize..6,
            fails: bool,
        ) {
            let (data, reads) = (data(length), Cell::new(0));
            let source = Counted { data: &data, reads: &reads, fails };
            let mut cached = CachedSource::new(source, blocks * BLOCK_LENGTH);
            for (first, second) in ranges {
                let (first, second) = (first.index(length + 1), second.index(length + 1));
                let range = first.min(second)..first.max(second);
                let mut out = vec![7];
                let result = cached.append(range.start as u64, range.len(), &mut out);
                prop_assert!(fails || result.is_ok());
                if result.is_ok() {
                    prop_assert_eq!(&out[1..], &data[range]);
                }
                let slots = cached.sets.iter().map(Vec::len).sum::<usize>();
                prop_assert!(slots <= blocks.max(1));
            }
        }
    }
}
