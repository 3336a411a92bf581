// SPDX-License-Identifier: MIT OR Apache-2.0

//! Splits a transfer into requests that a disk accepts: none longer than its largest segment, and
//! each a whole number of the disk's blocks. These may be larger than the 512-byte blocks that the
//! loader counts in; a part of such a block is read or written by reading or writing all of it.
//!
//! Source: VIRTIO 1.2, section 5.2.4 (`size_max`, `blk_size`). QEMU rejects requests that are not
//! whole blocks of `blk_size` (`hw/block/virtio-blk.c`, `virtio_blk_sect_range_ok`), although a
//! sector always has 512 bytes.

use thiserror::Error;

use crate::units::{BLOCK_SIZE, Count, Lba};

/// The largest supported block of a disk, in bytes.
pub const LARGEST_BLOCK: usize = 4096;

/// The maximum size of a request in bytes. Most kernels fit one request, and a disk that hangs in
/// the middle of a large initrd is noticed after the time limit for one request.
pub const LARGEST_REQUEST: u32 = 64 << 20;

/// The limits of a disk's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of the disk's blocks in 512-byte blocks, a power of two.
    block: u64,
    /// The maximum size of a request in 512-byte blocks, a multiple of `block`.
    largest: u64,
}

/// Limits that leave no usable request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitsError {
    /// The block size is not a power of two from 512 to 4096 bytes.
    #[error(
        "its blocks have {} bytes; 512, 1024, 2048 and 4096 can be used: set logical_block_size to one of them", .size
    )]
    BlockSize {
        /// The block size in bytes.
        size: Count,
    },
    /// The largest segment is smaller than a block.
    #[error("it takes at most {} bytes at a time (size_max), less than a block of {}", .size, .block)]
    SizeMax {
        /// The maximum size of a segment in bytes.
        size: Count,
        /// The block size in bytes.
        block: Count,
    },
}

/// The first piece of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Whole blocks of the disk, read or written in place.
    Whole {
        /// The length in 512-byte blocks.
        blocks: u64,
    },
    /// A part of one of the disk's blocks.
    Part {
        /// The start of the disk's block.
        start: Lba,
        /// The offset of the part in the disk's block, in 512-byte blocks.
        skip: u64,
        /// The length of the part in 512-byte blocks.
        blocks: u64,
    },
}

impl Piece {
    /// Returns the length of the piece in 512-byte blocks.
    #[must_use]
    pub fn blocks(self) -> u64 {
        match self {
            Self::Whole { blocks } | Self::Part { blocks, .. } => blocks,
        }
    }
}

impl Limits {
    /// Computes the limits from the fields present in the disk's configuration, in bytes. A
    /// `size_max` of 0 means no limit: QEMU's vhost-user-blk export has the field and never sets
    /// it.
    ///
    /// # Errors
    ///
    /// When the loader cannot use the block size, or no block fits a segment.
    pub fn new(blk_size: Option<u32>, size_max: Option<u32>) -> Result<Self, LimitsError> {
        let size = blk_size.unwrap_or(BLOCK_SIZE as u32);
        if !size.is_power_of_two() || !(BLOCK_SIZE as u32..=LARGEST_BLOCK as u32).contains(&size) {
            return Err(LimitsError::BlockSize { size: size.into() });
        }
        let block = size;
        let largest = match size_max {
            None | Some(0) => LARGEST_REQUEST,
            Some(size) if size < block => {
                return Err(LimitsError::SizeMax {
                    size: size.into(),
                    block: block.into(),
                });
            }
            Some(size) => (size & !(block - 1)).min(LARGEST_REQUEST),
        };
        Ok(Self {
            block: u64::from(block) / BLOCK_SIZE,
            largest: u64::from(largest) / BLOCK_SIZE,
        })
    }

    /// Returns the size of the disk's blocks in bytes, at most [`LARGEST_BLOCK`].
    #[must_use]
    pub fn block_size(self) -> usize {
        (self.block * BLOCK_SIZE) as usize
    }

    /// Returns the first piece of a transfer of `blocks` (at least one) 512-byte blocks from `lba`
    /// on.
    #[must_use]
    pub fn first(self, lba: Lba, blocks: u64) -> Piece {
        let within = self.block - 1;
        let skip = lba.0 & within;
        if skip == 0 && blocks >= self.block {
            let blocks = self.largest.min(blocks & !within);
            return Piece::Whole { blocks };
        }
        Piece::Part {
            start: Lba(lba.0 - skip),
            skip,
            blocks: blocks.min(self.block - skip),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn pieces(limits: Limits, mut lba: u64, mut blocks: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while blocks > 0 {
            let piece = limits.first(Lba(lba), blocks);
            lba += piece.blocks();
            blocks -= piece.blocks();
            pieces.push(piece);
        }
        pieces
    }

    #[test]
    fn without_limits_a_transfer_is_one_request() {
        for (blk_size, size_max) in [(None, None), (Some(512), Some(0)), (None, Some(u32::MAX))] {
            let limits = Limits::new(blk_size, size_max).unwrap();
            assert_eq!(
                pieces(limits, 2049, 70_001),
                [Piece::Whole { blocks: 70_001 }]
            );
        }
    }

    #[test]
    fn a_huge_transfer_is_several_requests_with_a_bounded_time_each() {
        let limits = Limits::new(None, None).unwrap();
        let whole = |blocks| Piece::Whole { blocks };
        // 150 MiB and a block, in pieces of 64 MiB.
        assert_eq!(
            pieces(limits, 0, 150 * 2048 + 1),
            [whole(131_072), whole(131_072), whole(22 * 2048 + 1)]
        );
    }

    #[test]
    fn a_largest_segment_cuts_a_transfer() {
        // The segment ends in the middle of a fifth block, which does not fit.
        let limits = Limits::new(None, Some(4 * 512 + 511)).unwrap();
        let whole = |blocks| Piece::Whole { blocks };
        assert_eq!(pieces(limits, 7, 9), [whole(4), whole(4), whole(1)]);
        let limits = Limits::new(Some(4096), Some(3 * 4096 - 1)).unwrap();
        assert_eq!(pieces(limits, 8, 40), [whole(16), whole(16), whole(8)]);
    }

    #[test]
    fn what_is_within_a_large_block_goes_by_the_whole_block() {
        let limits = Limits::new(Some(4096), None).unwrap();
        let part = |start, skip, blocks| Piece::Part {
            start: Lba(start),
            skip,
            blocks,
        };
        let whole = |blocks| Piece::Whole { blocks };
        assert_eq!(pieces(limits, 16, 256), [whole(256)]);
        assert_eq!(pieces(limits, 18, 1), [part(16, 2, 1)]);
        assert_eq!(
            pieces(limits, 15, 12),
            [part(8, 7, 1), whole(8), part(24, 0, 3)]
        );
    }

    #[test]
    fn limits_that_leave_no_request_are_refused() {
        let refused = |blk_size, size_max| Limits::new(blk_size, size_max).unwrap_err();
        for size in [0, 256, 520, 8192] {
            assert_eq!(
                refused(Some(size), None),
                LimitsError::BlockSize { size: size.into() }
            );
        }
        assert_eq!(
            refused(Some(4096), Some(4095)).to_string(),
            "it takes at most 4095 bytes at a time (size_max), less than a block of 4096"
        );
    }

    proptest! {
        #[test]
        fn pieces_are_requests_that_the_disk_takes(
            shift in 0_u32..4,
            size_max in prop_oneof![Just(None), (4096_u32..100_000).prop_map(Some)],
            lba in 0_u64..1 << 40,
            blocks in 0_u64..3000,
        ) {
            let limits = Limits::new(Some(512 << shift), size_max).unwrap();
            let block = 1_u64 << shift;
            let mut at = lba;
            for piece in pieces(limits, lba, blocks) {
                match piece {
                    Piece::Whole { blocks } => {
                        prop_assert!(at.is_multiple_of(block) && blocks.is_multiple_of(block));
                        prop_assert!(blocks > 0 && blocks * 512 <= u64::from(size_max.unwrap_or(LARGEST_REQUEST)));
                    }
                    Piece::Part { start, skip, blocks } => {
                        prop_assert!(start.0.is_multiple_of(block) && start.0 + skip == at);
                        prop_assert!(blocks > 0 && skip + blocks <= block && blocks < block);
                    }
                }
                at += piece.blocks();
            }
            prop_assert_eq!(at, lba + blocks);
        }
    }
}
