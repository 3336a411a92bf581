// SPDX-License-Identifier: MIT OR Apache-2.0

//! Creating, touching and labelling.

use super::mounts::LastFile;
use super::mounts::Session;
use super::writer::FileWriter;
use crate::disk::entry::{
    ARCHIVE, Entry, HIDDEN, LABEL, READ_ONLY, SYSTEM, is_directory, is_read_only, set_changed,
    set_created, set_first_cluster, set_size,
};
use crate::error::Error;
use crate::name::label;
use crate::storage::{Start, Storage};
use crate::timestamp::Timestamp;
use crate::volume::directory::{Directory, Position};
use crate::volume::find::Found;
use crate::volume::mounted::Volume;

impl Session {
    /// Starts writing a file, as `fat_write` does. A file that exists becomes empty first, and
    /// loses its attributes; a read-only one is refused.
    ///
    /// The writes are ordered for power cuts: the entry becomes empty, then the data is written,
    /// then the table, and then the entry with the new length. A cut leaves other files intact;
    /// the file is the old one, empty, or complete, except that the data of the old one may
    /// be overwritten by a disk that reorders writes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`], [`Error::NoDirectory`], [`Error::IsDirectory`],
    /// [`Error::ReadOnly`], [`Error::DirectoryFull`], [`Error::Full`], [`Error::NoFileSystem`],
    /// [`Error::Damaged`], [`Error::Disk`].
    pub fn write<'a>(
        &'a mut self,
        disk: &'a mut dyn Storage,
        start: Start,
        path: &str,
    ) -> Result<FileWriter<'a>, Error> {
        let last = self
            .last_file
            .take()
            .filter(|last| last.start == start && last.path == path);
        let (at, tail) = match last {
            // fwup still has it open, and so does not search for it and reset its attributes.
            Some(last) => {
                self.on(disk, start, |volume, time| empty(volume, last.at, time))?;
                (last.at, last.tail)
            }
            None => {
                let at = self.on(disk, start, |volume, time| create(volume, path, time))?;
                (at, LastFile::fresh_tail())
            }
        };
        let mount = self.take(disk, start)?;
        let file = LastFile {
            start,
            path: path.to_owned(),
            at,
            tail,
        };
        Ok(FileWriter::new(self, disk, mount, file))
    }

    /// Creates an empty file, unless there is one.
    ///
    /// # Errors
    ///
    /// Those of [`Session::write`].
    pub fn touch(&mut self, disk: &mut dyn Storage, start: Start, path: &str) -> Result<(), Error> {
        self.last_file = None;
        self.on(disk, start, |volume, time| {
            let target = volume.resolve(path)?;
            match target.found {
                Some(found) => check_writable(&found, path),
                None => {
                    let entry = new_file(time);
                    volume
                        .register(target.parent, &target.name, &entry)
                        .map(drop)
                }
            }
        })
    }

    /// Sets the attributes R, H and S of a file or directory to those given, in either case.
    ///
    /// fwup ignores errors of this action; this function reports them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidAttribute`], [`Error::NotFound`], and those of [`Session::write`].
    pub fn set_attributes(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        path: &str,
        attributes: &str,
    ) -> Result<(), Error> {
        let mut bits = 0;
        for letter in attributes.chars() {
            bits |= match letter.to_ascii_uppercase() {
                'R' => READ_ONLY,
                'H' => HIDDEN,
                'S' => SYSTEM,
                _ => return Err(Error::InvalidAttribute { letter }),
            };
        }
        self.on(disk, start, |volume, _| {
            let (_, Found { at, mut entry, .. }) = volume.resolve_existing(path)?;
            entry[11] = entry[11] & !(READ_ONLY | HIDDEN | SYSTEM) | bits;
            volume.set_entry(at, &entry)
        })
    }

    /// Sets the label of the volume in its root directory; an empty one removes it. Letters become
    /// capitals.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidLabel`], [`Error::DirectoryFull`], [`Error::Full`], and those of the disk.
    pub fn set_label(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        label: &str,
    ) -> Result<(), Error> {
        self.last_file = None;
        let invalid = |reason| Error::InvalidLabel {
            label: label.to_owned(),
            reason,
        };
        self.on(disk, start, |volume, _| {
            let name = label::encode(label.as_bytes()).map_err(invalid)?;
            let old = volume.find_label()?;
            let Some(name) = name else {
                return match old {
                    Some(at) => {
                        let mut entry = volume.entry(at)?;
                        entry[0] = crate::disk::entry::DELETED;
                        volume.set_entry(at, &entry)
                    }
                    None => Ok(()),
                };
            };
            let (at, mut entry) = match old {
                Some(at) => (at, volume.entry(at)?),
                None => {
                    let mut entry = [0; 32];
                    entry[11] = LABEL;
                    (volume.free_entries(Directory::ROOT, 1)?, entry)
                }
            };
            entry[..11].copy_from_slice(&name);
            volume.set_entry(at, &entry)
        })
    }
}

fn new_file(time: Timestamp) -> Entry {
    let mut entry = [0; 32];
    entry[11] = ARCHIVE;
    set_created(&mut entry, time);
    set_changed(&mut entry, time);
    entry
}

fn check_writable(found: &Found, path: &str) -> Result<(), Error> {
    let path = path.to_owned();
    if is_directory(&found.entry) {
        Err(Error::IsDirectory { path })
    } else if is_read_only(&found.entry) {
        Err(Error::ReadOnly { path })
    } else {
        Ok(())
    }
}

/// Creates a file, or makes it empty as if it had just been created.
pub(super) fn create(volume: &mut Volume, path: &str, time: Timestamp) -> Result<Position, Error> {
    let target = volume.resolve(path)?;
    let Some(found) = target.found else {
        return volume.register(target.parent, &target.name, &new_file(time));
    };
    check_writable(&found, path)?;
    let first = volume.first_cluster(&found);
    let mut entry = found.entry;
    entry[11] = ARCHIVE;
    set_created(&mut entry, time);
    set_changed(&mut entry, time);
    clear(volume, found.at, &mut entry, first)?;
    if first != 0 {
        // The new data takes the place of the old.
        volume.mount.hints.last = first - 1;
    }
    Ok(found.at)
}

/// Makes a file empty that was just written, without resetting its attributes and without taking
/// the place of the old data.
fn empty(volume: &mut Volume, at: Position, time: Timestamp) -> Result<(), Error> {
    let mut entry = volume.entry(at)?;
    let first = volume.first_cluster(&Found {
        at,
        first_long: None,
        entry,
    });
    if first == 0 {
        return Ok(());
    }
    entry[11] |= ARCHIVE;
    set_changed(&mut entry, time);
    clear(volume, at, &mut entry, first)
}

/// Removes the data of a file. The entry is on the disk before the clusters are free.
fn clear(volume: &mut Volume, at: Position, entry: &mut Entry, first: u32) -> Result<(), Error> {
    set_first_cluster(entry, 0, volume.mount.geometry.is_fat32());
    set_size(entry, 0);
    volume.set_entry(at, entry)?;
    if first == 0 {
        return Ok(());
    }
    volume.flush_window()?;
    volume.free_chain(first)
}
