// SPDX-License-Identifier: MIT OR Apache-2.0

//! Searching a directory.

use super::directory::{Directory, Position};
use super::mounted::Volume;
use crate::disk::entry::{ARCHIVE, DELETED, Entry, LABEL, LONG, attributes, short_name};
use crate::error::Error;
use crate::name::long_entry::Sequence;
use crate::name::segment::{Name, ShortName};

/// A file or directory that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) at: Position,
    /// The index of its first long entry.
    pub(crate) first_long: Option<u32>,
    pub(crate) entry: Entry,
}

impl Volume<'_> {
    /// Searches by the long name and by the short one.
    pub(crate) fn find(
        &mut self,
        directory: Directory,
        name: &Name,
    ) -> Result<Option<Found>, Error> {
        let mut sequence = Sequence::default();
        self.search(directory, |at, entry| {
            let kind = attributes(entry);
            if entry[0] == DELETED || kind & LABEL != 0 && kind != LONG {
                sequence = Sequence::default();
                return None;
            }
            if kind == LONG {
                sequence.push(at.index, entry, &name.long);
                return None;
            }
            let short = short_name(entry);
            let first_long = sequence.complete(&short);
            sequence = Sequence::default();
            let is_found = first_long.is_some() || !name.is_lossy && short == name.short;
            is_found.then_some(Found {
                at,
                first_long,
                entry: *entry,
            })
        })
    }

    /// Whether a short name is in use.
    pub(crate) fn has_short(
        &mut self,
        directory: Directory,
        short: &ShortName,
    ) -> Result<bool, Error> {
        let found = self.search(directory, |_, entry| {
            let is_file = entry[0] != DELETED && attributes(entry) & LABEL == 0;
            (is_file && short_name(entry) == *short).then_some(())
        })?;
        Ok(found.is_some())
    }

    /// Whether a subdirectory has no entries of its own.
    pub(crate) fn is_empty(&mut self, directory: Directory) -> Result<bool, Error> {
        let found = self.search(directory, |_, entry| {
            let kind = attributes(entry);
            let is_file =
                !matches!(entry[0], DELETED | b'.') && kind != LONG && kind & !ARCHIVE != LABEL;
            is_file.then_some(())
        })?;
        Ok(found.is_none())
    }

    /// The entry of the volume label.
    pub(crate) fn find_label(&mut self) -> Result<Option<Position>, Error> {
        self.search(Directory::ROOT, |at, entry| {
            let is_label =
                !matches!(entry[0], DELETED | b'.') && attributes(entry) & !ARCHIVE == LABEL;
            is_label.then_some(at)
        })
    }

    /// Tries the entries up to the first that was never used.
    fn search<T>(
        &mut self,
        directory: Directory,
        mut test: impl FnMut(Position, &Entry) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut next = Some(self.seek(directory, 0)?);
        while let Some(at) = next {
            let entry = self.entry(at)?;
            if entry[0] == 0 {
                return Ok(None);
            }
            if let Some(found) = test(at, &entry) {
                return Ok(Some(found));
            }
            next = self.next(at)?;
        }
        Ok(None)
    }
}
