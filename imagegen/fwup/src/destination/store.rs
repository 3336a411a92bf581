// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes to the medium: minimized, verified, synced and in order.

use std::ops::Range;

use super::device::Device;
use super::error::DeviceError;
use super::segment::{BLOCK, SEGMENT};
use super::storage::Storage;

/// The number of bytes compared or read back at once.
const PIECE: usize = SEGMENT as usize;

impl<S: Storage> Device<S> {
    /// Writes to the disk according to the options, and extends an image as needed.
    pub(super) fn store(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.grow(offset, offset + data.len() as u64)?;
        if !self.options.minimizes {
            return self.store_plainly(offset, data);
        }
        for (at, piece) in (offset..).step_by(PIECE).zip(data.chunks(PIECE)) {
            let mut old = vec![0; piece.len()];
            self.read_at(at, &mut old)?;
            if let Some(changed) = changed(&old, piece) {
                self.store_plainly(at + changed.start as u64, &piece[changed])?;
            }
        }
        Ok(())
    }

    fn store_plainly(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.is_synced = false;
        self.storage
            .write_at(offset, data)
            .map_err(|error| DeviceError::Io {
                action: "writing at",
                offset,
                error,
            })?;
        if self.options.verifies {
            self.verify(offset, data)?;
        }
        Ok(())
    }

    /// Reads data back and compares it.
    fn verify(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.storage
            .uncache(offset, data.len() as u64)
            .map_err(|error| DeviceError::Io {
                action: "syncing data written at",
                offset,
                error,
            })?;
        for (at, piece) in (offset..).step_by(PIECE).zip(data.chunks(PIECE)) {
            let mut found = vec![0; piece.len()];
            self.read_at(at, &mut found)?;
            let wrong = found
                .iter()
                .zip(piece)
                .position(|(found, new)| found != new);
            if let Some(wrong) = wrong {
                return Err(DeviceError::Verify {
                    offset: at + wrong as u64,
                });
            }
        }
        Ok(())
    }

    /// Reads from the disk. Bytes past its end are zero.
    pub(super) fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let length = self
            .storage
            .read_at(offset, out)
            .map_err(|error| DeviceError::Io {
                action: "reading",
                offset,
                error,
            })?;
        out[length..].fill(0);
        Ok(())
    }

    /// Discards segments on the disk. A failure is harmless, because their contents are not used.
    pub(super) fn discard_stored(&mut self, first: u64, last: u64) {
        let bound = self.bound().unwrap_or(self.storage.length());
        let (offset, end) = (first * SEGMENT, (last * SEGMENT).min(bound));
        if self.options.discards
            && offset < end
            && let Err(error) = self.storage.discard(offset, end - offset)
        {
            self.discard_error = Some(DeviceError::Io {
                action: "discarding data at",
                offset,
                error,
            });
        }
    }

    /// Extends an image to a whole segment, for a write from `offset` to `end`.
    fn grow(&mut self, offset: u64, end: u64) -> Result<(), DeviceError> {
        let grown = end
            .next_multiple_of(SEGMENT)
            .min(self.options.limit.unwrap_or(u64::MAX));
        if self.storage.grows() && self.storage.length() < grown {
            self.storage.grow(grown).map_err(|error| DeviceError::Io {
                action: "extending the destination for data at",
                offset,
                error,
            })?;
        }
        Ok(())
    }

    /// Writes data that affects booting: after all previous data is on the disk, and before any
    /// later data. Only the blocks that change are written.
    ///
    /// # Errors
    ///
    /// When the destination is too small or cannot be written.
    pub fn write_ordered(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.check_end(offset, data.len() as u64)?;
        let end = offset + data.len() as u64;
        for number in offset / SEGMENT..end.div_ceil(SEGMENT) {
            if self.trimmed.contains(number) {
                // The zeroes are written first, so that the read below matches the disk.
                self.segment(number)?;
            }
        }
        self.flush()?;
        let mut old = vec![0; data.len()];
        self.read(offset, &mut old)?;
        let place = match changed(&old, data) {
            Some(place) => place,
            // Nothing changes, but an image must still extend to `end`.
            None if self.storage.grows() && self.storage.length() < end => 0..BLOCK.min(data.len()),
            None => return Ok(()),
        };
        self.sync()?;
        self.store(offset + place.start as u64, &data[place])?;
        // Zeroes at the end of the data extend the image too.
        self.grow(offset, end)?;
        self.needs_sync = true;
        self.sync()
    }

    /// Waits until all written data is on the disk.
    fn sync(&mut self) -> Result<(), DeviceError> {
        if self.is_durable && !self.is_synced {
            self.storage.sync().map_err(|error| DeviceError::Io {
                action: "syncing the destination, up to",
                offset: self.storage.length(),
                error,
            })?;
        }
        self.is_synced = true;
        Ok(())
    }

    /// Flushes the cache, and syncs a block device or an image with ordered writes.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    pub fn finish(&mut self) -> Result<(), DeviceError> {
        self.flush()?;
        if self.needs_sync { self.sync() } else { Ok(()) }
    }
}

/// Returns the range from the first changed block to the last.
fn changed(old: &[u8], new: &[u8]) -> Option<Range<usize>> {
    let differs = |(old, new): (&[u8], &[u8])| old != new;
    let mut blocks = old.chunks(BLOCK).zip(new.chunks(BLOCK));
    let first = blocks.position(differs)?;
    let last = old
        .chunks(BLOCK)
        .zip(new.chunks(BLOCK))
        .rposition(differs)?;
    Some(first * BLOCK..((last + 1) * BLOCK).min(new.len()))
}
