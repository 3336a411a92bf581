// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies the data of a resource to where an action writes it, and checks its hash.

use super::error::{ApplyError, ResourceDataError};
use super::hashing::Hashing;
use super::progress::Progress;
use super::read_ahead::{Pieces, ReadNow, with_read_ahead};
use super::resource_data::ResourceData;
use crate::archive::read::Archive;
use crate::destination::aligned::AlignedBytes;
use crate::firmware::model::{Firmware, Handler, Resource};
use crate::hex;

/// The number of bytes read from the archive and written at a time: whole segments.
const PIECE: u64 = 256 << 10;

/// The entry of a resource in the archive, whose data is read next.
pub(super) struct ResourceEntry<'e, R> {
    pub(super) archive: &'e mut Archive<R>,
    /// The size of the entry's data in bytes, if its header says it.
    pub(super) size: Option<u64>,
    pub(super) handler: &'e Handler,
    pub(super) resource: &'e Resource,
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
        self,
        resource: &Resource,
        data: &mut dyn ResourceData,
        sink: &mut dyn ResourceSink,
    ) -> Result<(), ApplyError> {
        self.copy(resource, &mut ReadNow::new(data), sink)
    }

    /// Copies a resource like [`run`](Self::run). If it is large, its data is read in another
    /// thread.
    ///
    /// # Errors
    ///
    /// As `run`, and when the thread cannot be started.
    pub(super) fn run_ahead(
        self,
        resource: &Resource,
        data: &mut (dyn ResourceData + Send),
        sink: &mut dyn ResourceSink,
    ) -> Result<(), ApplyError> {
        if !is_large(resource) {
            return self.run(resource, data, sink);
        }
        let lengths = parts(resource, sink.start()).map(|(_, length)| length as usize);
        with_read_ahead(data, lengths, |pieces| self.copy(resource, pieces, sink))
    }

    fn copy(
        self,
        resource: &Resource,
        pieces: &mut dyn Pieces,
        sink: &mut dyn ResourceSink,
    ) -> Result<(), ApplyError> {
        let result = copy(self.progress, self.hashing, resource, pieces, sink);
        if result.is_err() {
            self.hashing.stop();
        }
        result
    }
}

/// Whether threads are worth their start.
fn is_large(resource: &Resource) -> bool {
    resource.data_length() > PIECE
}

/// Returns the offset and the length in bytes of each piece of a resource that starts at `start`.
fn parts(resource: &Resource, start: u64) -> impl Iterator<Item = (u64, u64)> + use<'_> {
    let mut end = start;
    resource
        .length
        .iter()
        .enumerate()
        .flat_map(move |(number, length)| {
            let mut position = end;
            end = end.saturating_add(*length);
            let (is_hole, end) = (number % 2 == 1, end);
            std::iter::from_fn(move || {
                let at = position;
                let part = (PIECE - at % PIECE).min(end - at);
                position += part;
                (!is_hole && part > 0).then_some((at, part))
            })
        })
}

fn copy(
    progress: &mut Progress<'_>,
    hashing: &mut Hashing,
    resource: &Resource,
    pieces: &mut dyn Pieces,
    sink: &mut dyn ResourceSink,
) -> Result<(), ApplyError> {
    let name = || resource.name.clone();
    let expected = resource
        .hash
        .ok_or_else(|| ResourceDataError::NoHash(name()))?;
    let end = resource
        .length
        .iter()
        .try_fold(sink.start(), |end, length| end.checked_add(*length))
        .ok_or_else(|| ResourceDataError::TooLong(name()))?;
    let wrong_length = |found| ResourceDataError::Length {
        name: name(),
        found,
        expected: resource.data_length(),
    };
    let mut hash = hashing.start(is_large(resource))?;
    // The offset of the piece that is being hashed.
    let mut last: Option<u64> = None;
    let mut read = 0;
    for (position, length) in parts(resource, sink.start()) {
        let (piece, found) = pieces.next(length as usize)?;
        read += found as u64;
        if found < piece.len() {
            return Err(wrong_length(read).into());
        }
        hash.add(piece)?;
        if let Some(at) = last.replace(position) {
            let mut piece = hash.hashed()?;
            sink.write(at, &mut piece)?;
            progress.report_data(piece.len());
            pieces.reuse(piece);
        }
    }
    // Reading to the end makes the archive check its own checksum and sizes.
    let more = pieces.end()? as u64;
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
    sink.finish(last, end, resource.length.len().is_multiple_of(2))?;
    progress.report_data(length);
    Ok(())
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
