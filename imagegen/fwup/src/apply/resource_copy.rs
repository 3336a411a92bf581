// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies the data of a resource to where an action writes it, and checks its hash.

use std::io::Read;
use std::mem;

use super::error::{ApplyError, ResourceDataError};
use super::hashing::Hashing;
use super::progress::Progress;
use crate::archive::read::Archive;
use crate::destination::aligned::AlignedBytes;
use crate::firmware::model::{Firmware, Handler, Resource};
use crate::hex;

/// The number of bytes read from the archive and written at a time: several whole segments.
const PIECE: u64 = 1 << 20;

/// The entry of a resource in the archive, whose data is read next.
pub(super) struct ResourceEntry<'e, R> {
    pub(super) archive: &'e mut Archive<R>,
    /// The size of the entry's data in bytes, if its header says it.
    pub(super) size: Option<u64>,
    pub(super) handler: &'e Handler,
    pub(super) resource: &'e Resource,
}

/// The data of a resource: that of its entry, or what a delta makes of it.
pub(super) trait ResourceData {
    /// Reads until `out` is full or the data ends, and returns the number of bytes.
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError>;
}

impl<R: Read> ResourceData for Archive<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
        Ok(Archive::read(self, out)?)
    }
}

/// A place to which an action writes a resource.
pub(super) trait ResourceSink {
    /// Returns the offset of the resource in bytes. Pieces are aligned to multiples of their size
    /// from offset 0.
    fn start(&self) -> u64 {
        0
    }

    /// Writes a piece, which may be changed, at an offset that is not before the end of the last
    /// piece.
    fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError>;

    /// Completes the resource, which ends at `end`, possibly after a hole. `last` is the last piece
    /// and its offset. All data has been checked.
    fn finish(
        &mut self,
        last: Option<(u64, AlignedBytes)>,
        end: u64,
        ends_in_hole: bool,
    ) -> Result<(), ApplyError>;
}

/// What is needed to copy resources.
pub(super) struct ResourceCopy<'c, 'd> {
    pub(super) progress: &'c mut Progress<'d>,
    pub(super) hashing: &'c mut Hashing,
}

impl ResourceCopy<'_, '_> {
    /// Copies a resource. The last piece is written only after the hash of all data has been
    /// checked.
    ///
    /// # Errors
    ///
    /// Those of the data and of the sink, and when the length or the hash is wrong.
    pub(super) fn run(
        mut self,
        resource: &Resource,
        data: &mut dyn ResourceData,
        sink: &mut dyn ResourceSink,
    ) -> Result<(), ApplyError> {
        let result = self.copy(resource, data, sink);
        if result.is_err() {
            self.hashing.stop();
        }
        result
    }

    fn copy(
        &mut self,
        resource: &Resource,
        data: &mut dyn ResourceData,
        sink: &mut dyn ResourceSink,
    ) -> Result<(), ApplyError> {
        let name = || resource.name.clone();
        let expected = resource
            .hash
            .ok_or_else(|| ResourceDataError::NoHash(name()))?;
        let wrong_length = |found| ResourceDataError::Length {
            name: name(),
            found,
            expected: resource.data_length(),
        };
        let mut hash = self.hashing.start(resource.data_length() > PIECE)?;
        // The offset of the piece that is being hashed.
        let mut last: Option<u64> = None;
        let mut spare = AlignedBytes::default();
        let mut read = 0;
        let mut position = sink.start();
        for (number, length) in resource.length.iter().enumerate() {
            let end = position
                .checked_add(*length)
                .ok_or_else(|| ResourceDataError::TooLong(name()))?;
            let is_hole = number % 2 == 1;
            while !is_hole && position < end {
                let part = (PIECE - position % PIECE).min(end - position);
                let mut piece = mem::take(&mut spare);
                piece.resize(part as usize);
                let found = data.read(&mut piece)?;
                read += found as u64;
                if found < piece.len() {
                    return Err(wrong_length(read).into());
                }
                hash.add(piece)?;
                if let Some(at) = last.replace(position) {
                    let mut piece = hash.hashed()?;
                    sink.write(at, &mut piece)?;
                    self.progress.report_data(piece.len());
                    spare = piece;
                }
                position += part;
            }
            position = end;
        }
        // Reading to the end makes the archive check its own checksum and sizes.
        let more = data.read(&mut [0])? as u64;
        if more != 0 {
            return Err(wrong_length(read + more).into());
        }
        let last = match last {
            Some(at) => Some((at, hash.hashed()?)),
            None => None,
        };
        let found = hash.finish()?;
        if found != expected {
            return Err(ResourceDataError::Hash {
                name: name(),
                found: hex::encode(&found),
                expected: hex::encode(&expected),
            }
            .into());
        }
        let length = last.as_ref().map_or(0, |(_, piece)| piece.len());
        sink.finish(last, position, resource.length.len().is_multiple_of(2))?;
        self.progress.report_data(length);
        Ok(())
    }
}

/// Returns the resource that an `on-resource` section handles.
pub(super) fn checked_resource<'f>(
    firmware: &'f Firmware,
    handler: &Handler,
) -> Result<&'f Resource, ResourceDataError> {
    firmware
        .resource(&handler.resource)
        .ok_or_else(|| ResourceDataError::Undeclared(handler.resource.clone()))
}
