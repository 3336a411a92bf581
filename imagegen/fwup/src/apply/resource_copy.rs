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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hashing::HashingError;
    use super::super::observer::Observer;
    use super::*;
    use crate::blake2b;

    /// The offset of the resource, which is not a multiple of pieces.
    const START: u64 = 1000;

    #[derive(Default)]
    struct Totals(Vec<(u64, u64)>);

    impl Observer for Totals {
        fn progress(&mut self, done: u64, total: u64) {
            self.0.push((done, total));
        }

        fn info(&mut self, _message: &str) {}
    }

    /// Receives writes, the first of which `fails_at` it or later fails.
    struct Written {
        pieces: Vec<(u64, Vec<u8>)>,
        fails_at: u64,
        end: Option<(u64, bool)>,
    }

    impl ResourceSink for Written {
        fn start(&self) -> u64 {
            START
        }

        fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError> {
            if at >= self.fails_at {
                return Err(HashingError.into());
            }
            self.pieces.push((at, piece.to_vec()));
            Ok(())
        }

        fn finish(
            &mut self,
            last: Option<(u64, AlignedBytes)>,
            end: u64,
            ends_in_hole: bool,
        ) -> Result<(), ApplyError> {
            if let Some((at, mut piece)) = last {
                self.write(at, &mut piece)?;
            }
            self.end = Some((end, ends_in_hole));
            Ok(())
        }
    }

    impl ResourceData for &[u8] {
        fn read(&mut self, out: &mut [u8]) -> Result<usize, ApplyError> {
            let length = out.len().min(self.len());
            let (now, later) = self.split_at(length);
            out[..length].copy_from_slice(now);
            *self = later;
            Ok(length)
        }
    }

    /// What a copy of `data` has done: its error, the writes, the end and the progress.
    type Done = (
        Option<String>,
        Vec<(u64, Vec<u8>)>,
        Option<(u64, bool)>,
        Vec<(u64, u64)>,
    );

    fn copied(resource: &Resource, mut data: &[u8], fails_at: u64, is_ahead: bool) -> Done {
        let mut totals = Totals::default();
        let mut sink = Written {
            pieces: Vec::new(),
            fails_at,
            end: None,
        };
        let copy = ResourceCopy {
            progress: &mut Progress::start(&mut totals, resource.data_length()),
            hashing: &mut Hashing::default(),
        };
        let result = match is_ahead {
            true => copy.run_ahead(resource, &mut data, &mut sink),
            false => copy.run(resource, &mut data, &mut sink),
        };
        let error = result.err().map(|error| error.to_string());
        (error, sink.pieces, sink.end, totals.0)
    }

    fn resource(length: Vec<u64>) -> (Resource, Vec<u8>) {
        let mut resource = Resource {
            length,
            ..Resource::default()
        };
        let data: Vec<u8> = (0..resource.data_length())
            .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
            .collect();
        resource.hash = Some(blake2b::hash(&data));
        (resource, data)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn reading_ahead_changes_nothing(
            length in prop::collection::vec(0..3 * PIECE / 2, 1..6),
            change in prop::option::of(any::<prop::sample::Index>()),
            kept in prop::option::of(any::<prop::sample::Index>()),
            more in 0..2_usize,
            fails_at in prop_oneof![Just(u64::MAX), START..START + 4 * PIECE],
        ) {
            let (resource, mut data) = resource(length);
            if let Some(at) = change.filter(|_| !data.is_empty()) {
                let at = at.index(data.len());
                data[at] ^= 1;
            }
            let kept = kept.map_or(data.len(), |kept| kept.index(data.len() + 1));
            data.truncate(kept);
            data.extend(vec![7; more]);
            let now = copied(&resource, &data, fails_at, false);
            prop_assert!(copied(&resource, &data, fails_at, true) == now);
            let (error, pieces, end, progress) = now;
            // Each byte has its place after the holes.
            let mut at = START;
            let mut expected = Vec::new();
            for (number, length) in resource.length.iter().enumerate() {
                if number % 2 == 0 {
                    expected.extend(at..at + length);
                }
                at += length;
            }
            let places = pieces.iter().flat_map(|(at, piece)| *at..*at + piece.len() as u64);
            prop_assert!(expected.starts_with(&places.collect::<Vec<_>>()));
            let bytes: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.clone()).collect();
            prop_assert!(data.starts_with(&bytes));
            let is_complete = bytes.len() == expected.len();
            if error.is_none() {
                prop_assert!(is_complete);
                prop_assert_eq!(end, Some((at, resource.length.len() % 2 == 0)));
                let total = resource.data_length();
                prop_assert_eq!(progress.last(), Some(&(total, total)));
            } else {
                // The last piece is written only if all data is as expected.
                prop_assert_eq!(end, None);
                prop_assert!(!is_complete || bytes.is_empty());
            }
        }
    }
}
