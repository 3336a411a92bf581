// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a task writes to: an image file or a block device, behind a write cache.
//!
//! Plain data goes through the cache and may reach the disk in any order. What decides about booting, partition tables and
//! environments, goes to the disk at once, and only when all data before it is there ([`Device::write_ordered`]). So an
//! interruption finds either the old decision or the new one with all it needs.

mod open;
mod segment;
mod storage;
mod storing;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

pub use open::DestinationError;
pub use storage::{DiskFile, Storage};

use self::segment::{BLOCK, Segment};

/// The unit of the cache, and the steps in which an image grows, in bytes.
pub const SEGMENT: u64 = 128 << 10;

/// The most segments in the cache: 32 MiB.
const MOST_SEGMENTS: usize = 256;

/// Why the destination cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The system refused.
    #[error("{action} byte {offset}: {error}")]
    Io {
        /// What was done.
        action: &'static str,
        /// Where, in bytes.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// What was written is not what is there now.
    #[error(
        "writing at byte {offset}: what was read back is not what was written; the disk is going bad, or its connection is"
    )]
    Verify {
        /// The first byte that differs.
        offset: u64,
    },
    /// The destination is too small.
    #[error(
        "bytes {start} to {end} are beyond the end of the destination, which has {length} bytes"
    )]
    BeyondEnd {
        /// Where the bytes start.
        start: u64,
        /// Where they end.
        end: u64,
        /// The destination's size.
        length: u64,
    },
    /// A place that no disk has.
    #[error("{length} bytes at byte {offset} end beyond 8 EiB")]
    TooFar {
        /// Where the bytes start.
        offset: u64,
        /// How many.
        length: u64,
    },
}

/// How a destination is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What was written is read back and compared.
    pub verifies: bool,
    /// What is on the disk already is not written again.
    pub minimizes: bool,
    /// The disk is told what is trimmed.
    pub discards: bool,
    /// The most bytes that the destination may have.
    pub limit: Option<u64>,
}

/// A destination with its cache. What is not flushed is lost when it is dropped.
pub struct Device<S> {
    storage: S,
    settings: Settings,
    /// Why the disk was not told about the last trim, when it refused.
    undiscarded: Option<DeviceError>,
    segments: BTreeMap<u64, Segment>,
    clock: u64,
    /// Segments whose contents do not matter, as ranges: they read as zeroes.
    trimmed: BTreeMap<u64, u64>,
    /// Whether there is something to protect from an interruption: not on an image that is being made.
    is_durable: bool,
    is_synced: bool,
    needs_sync: bool,
}

impl<S: Storage> Device<S> {
    /// A destination. An empty one is only made, so that nothing has to be synced in between.
    pub fn new(storage: S) -> Self {
        Self::with(storage, Settings::default())
    }

    /// A destination that is written to in another way than plainly.
    pub fn with(storage: S, settings: Settings) -> Self {
        let is_durable = storage.length() > 0;
        let needs_sync = !storage.grows();
        Self {
            storage,
            settings,
            undiscarded: None,
            segments: BTreeMap::new(),
            clock: 0,
            trimmed: BTreeMap::new(),
            is_durable,
            is_synced: true,
            needs_sync,
        }
    }

    /// The destination's size in bytes, as far as it is written.
    pub fn length(&self) -> u64 {
        self.storage.length()
    }

    /// How many bytes it is taken to have: all of a disk; of an image the limit, or else what there is.
    pub fn capacity(&self) -> u64 {
        self.bound().unwrap_or(self.storage.length())
    }

    /// Where writes must end; an image without a limit may have any size.
    fn bound(&self) -> Option<u64> {
        let length = (!self.storage.grows()).then(|| self.storage.length());
        match (length, self.settings.limit) {
            (Some(length), Some(limit)) => Some(length.min(limit)),
            (length, limit) => length.or(limit),
        }
    }

    /// Why the disk was not told what is trimmed, when it refused the last time.
    pub fn undiscarded(&self) -> Option<&DeviceError> {
        self.undiscarded.as_ref()
    }

    /// What the device stands on.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Reads what was written last; zeroes beyond the end.
    ///
    /// # Errors
    ///
    /// Those of the system.
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

    /// Reads what is on the disk, within one segment.
    fn read_stored(&mut self, number: u64, at: usize, part: &mut [u8]) -> Result<(), DeviceError> {
        if self.is_trimmed(number) {
            part.fill(0);
            return Ok(());
        }
        self.read_at(number * SEGMENT + at as u64, part)
    }

    /// Writes data. Whole segments go to the disk at once, the rest when the cache is flushed.
    ///
    /// # Errors
    ///
    /// When the destination is too small, or those of the system.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.check_end(offset, data.len() as u64)?;
        let mut whole: Range<usize> = 0..0;
        for (number, at, piece) in pieces(offset, data.len())? {
            if piece.len() as u64 == SEGMENT {
                // Neighbours are written together.
                self.segments.remove(&number);
                self.untrim(number);
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
        // Blocks that are written in part keep the rest of what they hold.
        for block in [start / BLOCK, end / BLOCK] {
            let covered = start <= block * BLOCK && end >= (block + 1) * BLOCK;
            let touched = start < (block + 1) * BLOCK && end > block * BLOCK;
            let is_cached = self
                .segments
                .get(&number)
                .is_some_and(|segment| segment.has(block));
            if touched && !covered && !is_cached {
                let mut old = [0; BLOCK];
                self.read_stored(number, block * BLOCK, &mut old)?;
                self.segment(number)?.write(block * BLOCK, &old);
            }
        }
        self.segment(number)?.write(at, data);
        Ok(())
    }

    fn segment(&mut self, number: u64) -> Result<&mut Segment, DeviceError> {
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
            if self.is_trimmed(number) {
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

    /// Writes what the cache holds, oldest first.
    ///
    /// # Errors
    ///
    /// Those of the system.
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
        self.untrim(number);
        for run in segment.runs() {
            let offset = number * SEGMENT + run.start as u64;
            let mut bytes = &segment.bytes()[run];
            // A trimmed segment is written whole, which may be more than a device has.
            if let Some(end) = self.bound() {
                let left = end.saturating_sub(offset);
                bytes = &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())];
            }
            self.store(offset, bytes)?;
        }
        Ok(())
    }

    /// Forgets what is not written yet.
    pub fn discard(&mut self) {
        self.segments.clear();
    }

    /// Declares contents as needless: whole segments in there read as zeroes from now on, and are zeroes around what is
    /// written into them. What is not written again stays on the disk as it is.
    ///
    /// # Errors
    ///
    /// When the place is beyond all disks.
    pub fn trim(&mut self, offset: u64, length: u64) -> Result<(), DeviceError> {
        let end = end(offset, length)?;
        let (first, last) = (offset.div_ceil(SEGMENT), end / SEGMENT);
        if first >= last {
            return Ok(());
        }
        self.segments
            .retain(|number, _| !(first..last).contains(number));
        let until = self.trimmed.entry(first).or_insert(last);
        *until = last.max(*until);
        self.discard_stored(first, last);
        Ok(())
    }

    fn is_trimmed(&self, number: u64) -> bool {
        self.trimmed
            .range(..=number)
            .any(|(_, until)| number < *until)
    }

    fn untrim(&mut self, number: u64) {
        let holding: Vec<_> = self
            .trimmed
            .range(..=number)
            .filter(|(_, until)| number < **until)
            .map(|(start, until)| (*start, *until))
            .collect();
        for (start, until) in holding {
            self.trimmed.remove(&start);
            if start < number {
                self.trimmed.insert(start, number);
            }
            if number + 1 < until {
                let end = self.trimmed.entry(number + 1).or_insert(until);
                *end = until.max(*end);
            }
        }
    }

    /// Whether these bytes can be written.
    ///
    /// # Errors
    ///
    /// When the destination is too small and does not grow, or they are beyond all disks.
    pub fn check_end(&self, start: u64, length: u64) -> Result<(), DeviceError> {
        let end = end(start, length)?;
        match self.bound() {
            Some(length) if end > length => Err(DeviceError::BeyondEnd { start, end, length }),
            _ => Ok(()),
        }
    }
}

/// Where the bytes end. Files end below 8 EiB, a segment's end included.
fn end(offset: u64, length: u64) -> Result<u64, DeviceError> {
    offset
        .checked_add(length)
        .filter(|end| *end <= i64::MAX as u64 - SEGMENT)
        .ok_or(DeviceError::TooFar { offset, length })
}

/// The segments that bytes are in: the segment's number, where in it, and which of the bytes.
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

#[cfg(test)]
mod tests;
