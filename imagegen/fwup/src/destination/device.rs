// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::DeviceError;
use super::segment::{BLOCK, Segment};
use super::storage::Storage;
use super::trimmed::TrimmedSegments;

pub use super::segment::SEGMENT;

/// The maximum number of segments in the cache, 32 MiB.
const MOST_SEGMENTS: usize = 256;

/// Options for writing to a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Data is read back and compared after each write.
    pub verifies: bool,
    /// Only blocks that change are written.
    pub minimizes: bool,
    /// Trimmed segments are discarded on the disk.
    pub discards: bool,
    /// The maximum number of bytes of the destination to use.
    pub limit: Option<u64>,
}

/// A destination with its write cache. Dropping it discards data that has not been flushed.
pub struct Device<S> {
    pub(super) storage: S,
    pub(super) options: WriteOptions,
    /// The error of the last failed discard.
    pub(super) discard_error: Option<DeviceError>,
    segments: BTreeMap<u64, Segment>,
    clock: u64,
    pub(super) trimmed: TrimmedSegments,
    /// Whether writes must survive an interruption: not while an image is created.
    pub(super) is_durable: bool,
    pub(super) is_synced: bool,
    pub(super) needs_sync: bool,
}

impl<S: Storage> Device<S> {
    /// Creates a device with default options. If the storage is empty, an image is being created,
    /// so no write needs a sync.
    pub fn new(storage: S) -> Self {
        Self::with_options(storage, WriteOptions::default())
    }

    /// Creates a device with options for writing.
    pub fn with_options(storage: S, options: WriteOptions) -> Self {
        let is_durable = storage.length() > 0;
        let needs_sync = !storage.grows();
        Self {
            storage,
            options,
            discard_error: None,
            segments: BTreeMap::new(),
            clock: 0,
            trimmed: TrimmedSegments::default(),
            is_durable,
            is_synced: true,
            needs_sync,
        }
    }

    /// Returns the destination's size in bytes, without the data in the cache.
    pub fn length(&self) -> u64 {
        self.storage.length()
    }

    /// Returns the size in bytes that partitions can use: a disk's size; for an image the limit, or
    /// else its size.
    pub fn capacity(&self) -> u64 {
        self.bound().unwrap_or(self.storage.length())
    }

    /// Returns the end of the writable bytes; `None` for an image without a limit.
    pub(super) fn bound(&self) -> Option<u64> {
        let length = (!self.storage.grows()).then(|| self.storage.length());
        match (length, self.options.limit) {
            (Some(length), Some(limit)) => Some(length.min(limit)),
            (length, limit) => length.or(limit),
        }
    }

    /// The error of the last failed discard.
    pub fn discard_error(&self) -> Option<&DeviceError> {
        self.discard_error.as_ref()
    }

    /// Returns the storage and discards the cache.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Reads the data that was last written, flushed or not. Bytes past the end are zero.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        for (number, at, piece) in pieces(offset, out.len())? {
            let part = &mut out[piece];
            self.read_stored(number, at, part)?;
            if let Some(segment) = self.segments.get(&number) {
                segment.read(at, part);
            }
        }
        Ok(())
    }

    /// Reads from the disk, within one segment.
    fn read_stored(&mut self, number: u64, at: usize, part: &mut [u8]) -> Result<(), DeviceError> {
        if self.trimmed.contains(number) {
            part.fill(0);
            return Ok(());
        }
        self.read_at(number * SEGMENT + at as u64, part)
    }

    /// Writes data. Whole segments are written to the disk immediately, the rest goes through the
    /// cache.
    ///
    /// # Errors
    ///
    /// When the destination is too small or cannot be written.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.check_end(offset, data.len() as u64)?;
        let mut whole: Range<usize> = 0..0;
        for (number, at, piece) in pieces(offset, data.len())? {
            if piece.len() as u64 == SEGMENT {
                // Adjacent segments are written together.
                self.segments.remove(&number);
                self.trimmed.remove(number);
                if whole.is_empty() {
                    whole.start = piece.start;
                }
                whole.end = piece.end;
            } else {
                self.write_piece(number, at, &data[piece])?;
            }
        }
        if !whole.is_empty() {
            self.store(offset + whole.start as u64, &data[whole])?;
        }
        Ok(())
    }

    fn write_piece(&mut self, number: u64, at: usize, data: &[u8]) -> Result<(), DeviceError> {
        let (start, end) = (at, at + data.len());
        // A partly written block keeps its other bytes.
        for block in [start / BLOCK, end / BLOCK] {
            let covered = start <= block * BLOCK && end >= (block + 1) * BLOCK;
            let touched = start < (block + 1) * BLOCK && end > block * BLOCK;
            let is_cached = self
                .segments
                .get(&number)
                .is_some_and(|segment| segment.is_dirty(block));
            if touched && !covered && !is_cached {
                let mut old = [0; BLOCK];
                self.read_stored(number, block * BLOCK, &mut old)?;
                self.segment(number)?.write(block * BLOCK, &old);
            }
        }
        self.segment(number)?.write(at, data);
        Ok(())
    }

    pub(super) fn segment(&mut self, number: u64) -> Result<&mut Segment, DeviceError> {
        if !self.segments.contains_key(&number) {
            if self.segments.len() >= MOST_SEGMENTS {
                let oldest = self
                    .segments
                    .iter()
                    .min_by_key(|(_, segment)| segment.age)
                    .map(|(number, _)| *number);
                if let Some(oldest) = oldest {
                    self.flush_segment(oldest)?;
                }
            }
            let mut segment = Segment::new();
            if self.trimmed.contains(number) {
                segment.write(0, &[0; SEGMENT as usize]);
            }
            self.segments.insert(number, segment);
        }
        self.clock += 1;
        let clock = self.clock;
        let segment = self.segments.entry(number).or_insert_with(Segment::new);
        segment.age = clock;
        Ok(segment)
    }

    /// Writes the dirty blocks of the cache, oldest segment first.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    pub fn flush(&mut self) -> Result<(), DeviceError> {
        let mut order: Vec<_> = self
            .segments
            .iter()
            .map(|(number, segment)| (segment.age, *number))
            .collect();
        order.sort_unstable();
        for (_, number) in order {
            self.flush_segment(number)?;
        }
        Ok(())
    }

    fn flush_segment(&mut self, number: u64) -> Result<(), DeviceError> {
        let Some(segment) = self.segments.remove(&number) else {
            return Ok(());
        };
        self.trimmed.remove(number);
        for run in segment.runs() {
            let offset = number * SEGMENT + run.start as u64;
            let mut bytes = &segment.bytes()[run];
            // A trimmed segment is entirely dirty, and may extend past the end of the device.
            if let Some(end) = self.bound() {
                let left = end.saturating_sub(offset);
                bytes = &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())];
            }
            self.store(offset, bytes)?;
        }
        Ok(())
    }

    /// Discards all data that is not on the disk yet.
    pub fn clear_cache(&mut self) {
        self.segments.clear();
    }

    /// Discards contents: from now on, whole segments in the range read as zeroes, also around data
    /// written into them later. The disk keeps the old contents of segments that are not written
    /// again, unless [`WriteOptions::discards`] is set.
    ///
    /// # Errors
    ///
    /// [`DeviceError::TooFar`].
    pub fn trim(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let end = end(offset, length)?;
        let (first, last) = (offset.div_ceil(SEGMENT), end / SEGMENT);
        if first >= last {
            return Ok(());
        }
        self.segments
            .retain(|number, _| !(first..last).contains(number));
        self.trimmed.insert(first, last);
        self.discard_stored(first, last);
        Ok(())
    }

    /// Checks that these bytes can be written.
    ///
    /// # Errors
    ///
    /// [`DeviceError::BeyondEnd`] and [`DeviceError::TooFar`].
    pub fn check_end(&self, start: u64, length: u64) -> Result<(), DeviceError> {
        let end = end(start, length)?;
        match self.bound() {
            Some(length) if end > length => Err(DeviceError::BeyondEnd { start, end, length }),
            _ => Ok(()),
        }
    }
}

/// Returns the end of a range. Its segment must end below 8 EiB, the limit of file sizes.
fn end(offset: u64, length: u64) -> Result<u64, DeviceError> {
    offset
        .checked_add(length)
        .filter(|end| *end <= i64::MAX as u64 - SEGMENT)
        .ok_or(DeviceError::TooFar { offset, length })
}

/// Splits a range at segment boundaries. Yields each segment's number, the offset in it, and the
/// part of the range.
fn pieces(
    offset: u64,
    length: usize,
) -> Result<impl Iterator<Item = (u64, usize, Range<usize>)> + use<>, DeviceError> {
    end(offset, length as u64)?;
    let mut done = 0;
    Ok(std::iter::from_fn(move || {
        let position = offset + done as u64;
        // Below a segment's size.
        let at = (position % SEGMENT) as usize;
        let part = (SEGMENT as usize - at).min(length - done);
        if part == 0 {
            return None;
        }
        let piece = done..done + part;
        done += part;
        Some((position / SEGMENT, at, piece))
    }))
}
