// SPDX-License-Identifier: MIT OR Apache-2.0

//! How bytes get from the cache to the disk, and when they are safe there.

use std::ops::Range;

use super::segment::BLOCK;
use super::{Device, DeviceError, SEGMENT, Storage};

/// How much is compared or read back at once, in bytes.
const PIECE: usize = SEGMENT as usize;

impl<S: Storage> Device<S> {
    /// Writes to the disk, in the way of the settings.
    pub(super) fn store(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.grow(offset, offset + data.len() as u64)?;
        if !self.settings.minimizes {
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
        if self.settings.verifies {
            self.verify(offset, data)?;
        }
        Ok(())
    }

    /// Reads what was written, and compares it.
    fn verify(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.storage
            .uncache(offset, data.len() as u64)
            .map_err(|error| DeviceError::Io {
                action: "syncing what was written at",
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

    /// Reads what is on the disk; zeroes beyond its end.
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

    /// Tells the disk that segments are needless. It may refuse: what they hold does not matter.
    pub(super) fn discard_stored(&mut self, first: u64, last: u64) {
        let bound = self.bound().unwrap_or(self.storage.length());
        let (offset, end) = (first * SEGMENT, (last * SEGMENT).min(bound));
        if self.settings.discards
            && offset < end
            && let Err(error) = self.storage.discard(offset, end - offset)
        {
            self.undiscarded = Some(DeviceError::Io {
                action: "discarding what is at",
                offset,
                error,
            });
        }
    }

    /// Lets an image grow for what is at `offset`: to the end of the segment in which that ends.
    fn grow(&mut self, offset: u64, end: u64) -> Result<(), DeviceError> {
        let grown = end
            .next_multiple_of(SEGMENT)
            .min(self.settings.limit.unwrap_or(u64::MAX));
        if self.storage.grows() && self.storage.length() < grown {
            self.storage.grow(grown).map_err(|error| DeviceError::Io {
                action: "growing the destination for what comes at",
                offset,
                error,
            })?;
        }
        Ok(())
    }

    /// Writes what decides about booting: after all data before it is safe, and before all that follows. Only the blocks
    /// that change are written.
    ///
    /// # Errors
    ///
    /// When the destination is too small, or those of the system.
    pub fn write_ordered(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.check_end(offset, data.len() as u64)?;
        let end = offset + data.len() as u64;
        for number in offset / SEGMENT..end.div_ceil(SEGMENT) {
            if self.is_trimmed(number) {
                // Written as zeroes first, so that what is read below is what the disk holds.
                self.segment(number)?;
            }
        }
        self.flush()?;
        let mut old = vec![0; data.len()];
        self.read(offset, &mut old)?;
        let place = match changed(&old, data) {
            Some(place) => place,
            // Nothing changes; an image still grows to hold it.
            None if self.storage.grows() && self.storage.length() < end => 0..BLOCK.min(data.len()),
            None => return Ok(()),
        };
        self.sync()?;
        self.store(offset + place.start as u64, &data[place])?;
        // The rest of the image is there too, where all that follows are zeroes.
        self.grow(offset, end)?;
        self.needs_sync = true;
        self.sync()
    }

    /// Waits until all that was written is on the disk.
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

    /// Writes what the cache holds; a device, and an image with ordered writes, is synced too.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn finish(&mut self) -> Result<(), DeviceError> {
        self.flush()?;
        if self.needs_sync { self.sync() } else { Ok(()) }
    }
}

/// From the first block that changes to the last one.
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
