// SPDX-License-Identifier: MIT OR Apache-2.0

//! Adding entries to a directory and removing them.

use super::directory::{Directory, Position};
use super::find::Found;
use super::mounted::Volume;
use crate::disk::entry::{DELETED, Entry, is_free};
use crate::error::Error;
use crate::name::long_entry;
use crate::name::segment::{Name, ShortName, checksum};

/// The most attempts for a number that makes a short name unique.
const MOST_NUMBERS: u32 = 99;

impl Volume<'_> {
    /// Adds a name with the fields of `entry`, and returns the place of its short entry.
    ///
    /// The short entry stays in the window, so that [`Volume::sync`] puts the table on the disk
    /// before it, and a cut leaves at most clusters that no file uses.
    ///
    /// # Errors
    ///
    /// [`Error::DirectoryFull`], [`Error::Full`], and those of the disk.
    pub(crate) fn register(
        &mut self,
        directory: Directory,
        name: &Name,
        entry: &Entry,
    ) -> Result<Position, Error> {
        let short = match name.is_lossy {
            true => self.unique_short(directory, name)?,
            false => name.short,
        };
        let long_count = match name.needs_long {
            true => long_entry::count(&name.long),
            false => 0,
        };
        let mut at = self.free_entries(directory, u32::from(long_count) + 1)?;
        for number in (1..=long_count).rev() {
            let part = long_entry::encode(&name.long, number, checksum(&short));
            self.set_entry(at, &part)?;
            at = self.next_or_grow(at)?;
        }
        let mut entry = *entry;
        entry[..11].copy_from_slice(&short);
        entry[12] = name.case;
        self.set_entry(at, &entry)?;
        Ok(at)
    }

    fn unique_short(&mut self, directory: Directory, name: &Name) -> Result<ShortName, Error> {
        for number in 1..=MOST_NUMBERS {
            let short = name.numbered(number);
            if !self.has_short(directory, &short)? {
                return Ok(short);
            }
        }
        Err(Error::DirectoryFull)
    }

    /// The start of the first so many free entries in a row. The directory grows if it must.
    pub(crate) fn free_entries(
        &mut self,
        directory: Directory,
        count: u32,
    ) -> Result<Position, Error> {
        let mut at = self.seek(directory, 0)?;
        let mut start = at;
        let mut free = 0;
        loop {
            if is_free(&self.entry(at)?) {
                if free == 0 {
                    start = at;
                }
                free += 1;
            } else {
                free = 0;
            }
            if free == count {
                return Ok(start);
            }
            at = self.next_or_grow(at)?;
        }
    }

    /// Deletes the entries of a file or directory, and puts that on the disk, so that its clusters
    /// can be freed.
    pub(crate) fn unregister(&mut self, found: &Found) -> Result<(), Error> {
        let directory = found.at.directory;
        let first = found.first_long.unwrap_or(found.at.index);
        let mut at = self.seek(directory, first)?;
        loop {
            let mut entry = self.entry(at)?;
            entry[0] = DELETED;
            self.set_entry(at, &entry)?;
            if at.index >= found.at.index {
                return self.flush_window();
            }
            at = self.next(at)?.ok_or(Error::Damaged {
                found: "a directory ends within a long name",
                cluster: directory.cluster(),
            })?;
        }
    }
}
