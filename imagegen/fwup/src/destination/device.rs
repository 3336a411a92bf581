// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::ops::Range;

use super::aligned::AlignedBytes;
use super::error::DeviceError;
use super::segment::{BLOCK, Segment};
use super::storage::Storage;
use super::trimmed::TrimmedSegments;

pub use super::segment::SEGMENT;

/// The default size of the cache in MiB, the same as fwup's.
const CACHE_SIZE: u64 = 8;
/// The maximum size of the cache in MiB: an archive must not be able to request unlimited memory.
const MOST_CACHE_SIZE: u64 = 256;

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
    /// The maximum number of segments in the cache.
    most_segments: usize,
    clock: u64,
    /// A buffer for data that is not aligned; empty until it is needed.
    pub(super) staging: AlignedBytes,
    /// A buffer for data that is read to compare it; empty until it is needed.
    pub(super) compared: AlignedBytes,
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
            most_segments: segments_of(CACHE_SIZE),
            clock: 0,
            staging: AlignedBytes::default(),
            compared: AlignedBytes::default(),
            trimmed: TrimmedSegments::default(),
            is_durable,
            is_synced: true,
            needs_sync,
        }
    }

    /// Sets the size of the cache in MiB (`block-cache-size-mb`), from 1 to 256: values outside are
    /// replaced by the nearest one, and 0 by the default of 8.
    ///
    /// # Errors
    ///
    /// I/O errors of the system, when a smaller cache must be flushed.
    pub fn set_cache_size(&mut self, mebibytes: u64) -> Result<(), DeviceError> {
        self.most_segments = segments_of(mebibytes);
        if self.segments.len() > self.most_segments {
            self.flush()?;
            self.segments.clear();
        }
        Ok(())
    }

    /// Returns the number of bytes in the cache.
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.segments.len() as u64 * SEGMENT
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

    /// Reads the data that was last written, flushed or not. Bytes past the end are zero. The disk
    /// is read by whole segments, which remain in the cache.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        for (number, at, piece) in pieces(offset, out.len())? {
            let part = &mut out[piece];
            let bytes = at..at + part.len();
            if self.trimmed.contains(number) && !self.segments.contains_key(&number) {
                part.fill(0);
                continue;
            }
            self.make_valid(number, bytes.clone())?;
            part.copy_from_slice(&self.segment(number)?.bytes()[bytes]);
        }
        Ok(())
    }

    /// Reads a segment from the disk unless these bytes of it are already in the cache.
    fn make_valid(&mut self, number: u64, bytes: Range<usize>) -> Result<(), DeviceError> {
        if self.segment(number)?.is_valid(bytes.clone()) {
            return Ok(());
        }
        let Some(mut segment) = self.segments.remove(&number) else {
            return Ok(());
        };
        let mut read = |at, stored: &mut [u8]| self.read_at(number * SEGMENT + at as u64, stored);
        let result = segment.fill(0..SEGMENT as usize, &mut read);
        // A bad block elsewhere in the segment does not matter.
        let result = result.or_else(|_| segment.fill(bytes, &mut read));
        // Its dirty blocks are still needed after an error.
        self.segments.insert(number, segment);
        result
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
        for edge in [start, end] {
            if edge % BLOCK != 0 {
                self.make_valid(number, edge..edge + 1)?;
            }
        }
        self.segment(number)?.write(at, data);
        Ok(())
    }

    /// Returns a segment of the cache. A trimmed one is entirely dirty.
    pub(super) fn segment(&mut self, number: u64) -> Result<&mut Segment, DeviceError> {
        if !self.segments.contains_key(&number) {
            while self.segments.len() >= self.most_segments {
                let oldest = self
                    .segments
                    .iter()
                    .min_by_key(|(_, segment)| segment.age)
                    .map(|(number, _)| *number);
                let Some(oldest) = oldest else { break };
                self.flush_segment(oldest)?;
                self.segments.remove(&oldest);
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

    /// Copies data that was just stored to the segments in the cache. `offset` is that of a block.
    pub(super) fn refresh(&mut self, offset: u64, data: &[u8]) {
        for (number, at, piece) in pieces(offset, data.len()).into_iter().flatten() {
            if let Some(segment) = self.segments.get_mut(&number) {
                segment.refresh(at, &data[piece]);
            }
        }
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

    /// Writes the dirty blocks of a segment, which stays in the cache.
    fn flush_segment(&mut self, number: u64) -> Result<(), DeviceError> {
        // After an error the data is lost, as on a real disk, and so is not written again.
        let Some(mut segment) = self.segments.remove(&number) else {
            return Ok(());
        };
        let runs = segment.runs();
        if !runs.is_empty() {
            self.trimmed.remove(number);
        }
        for run in runs {
            let offset = number * SEGMENT + run.start as u64;
            let mut bytes = &segment.bytes()[run];
            // A trimmed segment is entirely dirty, and may extend past the end of the device.
            if let Some(end) = self.bound() {
                let left = end.saturating_sub(offset);
                bytes = &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())];
            }
            self.store(offset, bytes)?;
        }
        segment.clean();
        self.segments.insert(number, segment);
        Ok(())
    }

    /// Discards all data that is not on the disk yet. What was trimmed reads again as the disk has
    /// it.
    pub fn clear_cache(&mut self) {
        self.segments.clear();
        self.trimmed = TrimmedSegments::default();
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

/// Returns the number of segments in a cache of so many MiB.
fn segments_of(mebibytes: u64) -> usize {
    let size = if mebibytes == 0 {
        CACHE_SIZE
    } else {
        mebibytes.min(MOST_CACHE_SIZE)
    };
    ((size << 20) / SEGMENT) as usize
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
