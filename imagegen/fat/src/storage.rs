// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk under a volume.

use std::io;

use crate::error::Error;

/// The size in bytes of a block, which is also the only sector size of a volume.
pub const BLOCK: usize = 512;

/// The contents of one block.
pub(crate) type Block = [u8; BLOCK];

/// A disk with one or more volumes.
///
/// Offsets are in bytes from the start of the disk; offsets and lengths are multiples of
/// [`BLOCK`].
pub trait Storage {
    /// Fills `out`. Blocks that were never written read as zeroes.
    ///
    /// # Errors
    ///
    /// Those of the system, also when the range ends after the disk.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes. The order of writes is the order that matters after a power cut.
    ///
    /// # Errors
    ///
    /// Those of the system, also when the range ends after the disk.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Allows the disk to forget these bytes before a new file system is made in them. What
    /// they read as afterwards is the disk's choice.
    ///
    /// # Errors
    ///
    /// Those of the system. A disk that cannot discard reports success.
    fn discard(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Where a volume starts on its disk, in blocks. The sizes of FAT end 2^40 bytes later at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start(u64);

impl Start {
    /// # Errors
    ///
    /// [`Error::Offset`] if the byte offsets of a volume there could exceed 64 bits.
    pub fn from_blocks(blocks: u64) -> Result<Self, Error> {
        if blocks < 1 << 54 {
            Ok(Self(blocks))
        } else {
            Err(Error::Offset { blocks })
        }
    }

    /// The byte offset on the disk of a sector of this volume.
    pub(crate) fn byte_of(self, sector: u64) -> u64 {
        // Sectors have at most 34 bits: a 32-bit number in a partition table, plus one of 33.
        (self.0 + sector) * BLOCK as u64
    }
}
