// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes to the medium: minimized, verified, synced and in order.

use std::mem;
use std::ops::Range;

use super::aligned::is_aligned;
use super::device::Device;
use super::error::DeviceError;
use super::segment::{BLOCK, SEGMENT};
use super::storage::Storage;

/// The number of bytes compared or read back at once.
const PIECE: usize = SEGMENT as usize;
/// The number of bytes copied to aligned memory and written at once.
const STAGING: usize = 4 * PIECE;

impl<S: Storage> Device<S> {
    /// Writes whole blocks to the disk according to the options, extends an image as needed, and
    /// updates the cache.
    pub(super) fn store(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.grow(offset, offset + data.len() as u64)?;
        if self.options.minimizes {
            for (at, piece) in (offset..).step_by(PIECE).zip(data.chunks(PIECE)) {
                let changed = self.compared_with(at, piece, changed)?;
                if let Some(changed) = changed {
                    self.store_aligned(at + changed.start as u64, &piece[changed])?;
                }
            }
        } else {
            self.store_aligned(offset, data)?;
        }
        self.refresh(offset, data);
        Ok(())
    }

    /// Writes from aligned memory, if necessary from a copy.
    fn store_aligned(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        if is_aligned(data) {
            return self.store_plainly(offset, data);
        }
        let mut staging = mem::take(&mut self.staging);
        let pieces = (offset..).step_by(STAGING).zip(data.chunks(STAGING));
        let result = pieces.into_iter().try_for_each(|(at, piece)| {
            staging.resize(piece.len());
            staging.copy_from_slice(piece);
            self.store_plainly(at, &staging)
        });
        self.staging = staging;
        result
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
        } else if self.is_durable {
            self.storage.start_writeback(offset, data.len() as u64);
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
            let differs = |(found, new): (&u8, &u8)| found != new;
            let wrong = self.compared_with(at, piece, |found, piece| {
                // Comparing whole slices first is much faster.
                let is_wrong = found != piece;
                is_wrong.then(|| found.iter().zip(piece).position(differs).unwrap_or(0))
            })?;
            if let Some(wrong) = wrong {
                return Err(DeviceError::Verify {
                    offset: at + wrong as u64,
                });
            }
        }
        Ok(())
    }

    /// Compares data with that on the disk, which is the first argument of `compare`.
    fn compared_with<T>(
        &mut self,
        offset: u64,
        data: &[u8],
        compare: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<T, DeviceError> {
        let mut stored = mem::take(&mut self.compared);
        stored.resize(data.len());
        let result = self.read_at(offset, &mut stored);
        let result = result.map(|()| compare(&stored, data));
        self.compared = stored;
        result
    }

    /// Reads whole blocks from the disk to aligned memory. Bytes past its end are zero.
    pub(super) fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let left = self.storage.length().saturating_sub(offset);
        let left = left.next_multiple_of(BLOCK as u64);
        let wanted = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut length = 0;
        if wanted > 0 {
            length = self
                .storage
                .read_at(offset, &mut out[..wanted])
                .map_err(|error| DeviceError::Io {
                    action: "reading",
                    offset,
                    error,
                })?;
        }
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
        // The disk is written by whole blocks.
        let block = BLOCK as u64;
        let start = offset - offset % block;
        let rounded = end.next_multiple_of(block);
        let rounded = rounded.min(self.bound().unwrap_or(rounded));
        let mut old = vec![0; usize::try_from(rounded - start).unwrap_or(usize::MAX)];
        self.read(start, &mut old)?;
        let mut new = old.clone();
        new[(offset - start) as usize..][..data.len()].copy_from_slice(data);
        let place = match changed(&old, &new) {
            Some(place) => place,
            // Nothing changes, but an image must still extend to `end`.
            None if self.storage.grows() && self.storage.length() < end => 0..BLOCK.min(new.len()),
            None => return Ok(()),
        };
        self.sync()?;
        self.store(start + place.start as u64, &new[place])?;
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
