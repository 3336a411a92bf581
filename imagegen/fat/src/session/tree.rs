// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directories, removing, and renaming.

use super::mounts::Session;
use crate::disk::entry::{
    ARCHIVE, DIRECTORY, is_directory, is_read_only, set_changed, set_first_cluster,
};
use crate::error::Error;
use crate::storage::{Start, Storage};
use crate::volume::directory::Directory;
use crate::volume::find::Found;
use crate::volume::mounted::Volume;

impl Session {
    /// Creates a directory, unless there is one. Its parents must exist.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if it is a file, and those of [`Session::write`].
    pub fn make_directory(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        path: &str,
    ) -> Result<(), Error> {
        self.last_file = None;
        self.on(disk, start, |volume, time| {
            let target = volume.resolve(path)?;
            match target.found {
                Some(found) if is_directory(&found.entry) => return Ok(()),
                Some(_) => {
                    return Err(Error::Exists {
                        path: path.to_owned(),
                    });
                }
                None => {}
            }
            let is_fat32 = volume.mount.geometry.is_fat32();
            let cluster = volume.start_chain()?;
            volume.clear_cluster(cluster)?;
            let mut entry = [0; 32];
            entry[..11].fill(b' ');
            entry[0] = b'.';
            entry[11] = DIRECTORY;
            set_changed(&mut entry, time);
            set_first_cluster(&mut entry, cluster, is_fat32);
            let this = volume.seek(Directory::at(cluster), 0)?;
            volume.set_entry(this, &entry)?;
            let mut above = entry;
            above[1] = b'.';
            set_first_cluster(&mut above, target.parent.cluster(), is_fat32);
            let next = volume.seek(Directory::at(cluster), 1)?;
            volume.set_entry(next, &above)?;
            volume.flush_window()?;
            volume
                .register(target.parent, &target.name, &entry)
                .map(drop)
        })
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] and [`Error::NoDirectory`], which `fat_rm` ignores and `fat_rm!`
    /// reports; [`Error::ReadOnly`]; [`Error::NotEmpty`]; and those of the disk.
    pub fn remove(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        path: &str,
    ) -> Result<(), Error> {
        self.last_file = None;
        self.on(disk, start, |volume, _| {
            let (_, found) = volume.resolve_existing(path)?;
            remove(volume, &found, path)
        })
    }

    /// Renames a file or directory, or moves it to another directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Exists`], [`Error::InsideItself`], and those of
    /// [`Session::write`].
    pub fn rename(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        from: &str,
        to: &str,
    ) -> Result<(), Error> {
        self.last_file = None;
        self.on(disk, start, |volume, _| rename(volume, from, to, false))
    }

    /// Renames a file or directory, and removes what has the new name, as `fat_mv!` does.
    ///
    /// The source must exist before anything is removed, which fwup does not check.
    ///
    /// # Errors
    ///
    /// Those of [`Session::rename`] except [`Error::Exists`], and [`Error::ReadOnly`] and
    /// [`Error::NotEmpty`] for the destination.
    pub fn replace(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        from: &str,
        to: &str,
    ) -> Result<(), Error> {
        self.last_file = None;
        self.on(disk, start, |volume, _| rename(volume, from, to, true))
    }
}

fn remove(volume: &mut Volume, found: &Found, path: &str) -> Result<(), Error> {
    if is_read_only(&found.entry) {
        return Err(Error::ReadOnly {
            path: path.to_owned(),
        });
    }
    let first = volume.first_cluster(found);
    if is_directory(&found.entry) && !volume.is_empty(Directory::at(first))? {
        return Err(Error::NotEmpty {
            path: path.to_owned(),
        });
    }
    volume.unregister(found)?;
    if first == 0 {
        Ok(())
    } else {
        volume.free_chain(first)
    }
}

fn rename(volume: &mut Volume, from: &str, to: &str, replaces: bool) -> Result<(), Error> {
    let (source, old) = volume.resolve_existing(from)?;
    let target = volume.resolve(to)?;
    let moved = volume.directory_of(&old);
    if is_directory(&old.entry) && target.passed.contains(&moved) {
        return Err(Error::InsideItself {
            path: to.to_owned(),
        });
    }
    match target.found {
        Some(found) if found.at == old.at => {}
        Some(found) if replaces => remove(volume, &found, to)?,
        Some(_) => {
            return Err(Error::Exists {
                path: to.to_owned(),
            });
        }
        None => {}
    }
    let mut entry = old.entry;
    if !is_directory(&entry) {
        entry[11] |= ARCHIVE;
    }
    let at = volume.register(target.parent, &target.name, &entry)?;
    volume.flush_window()?;
    if is_directory(&entry) && source.parent != target.parent {
        let above = volume.seek(moved, 1)?;
        let mut parent = volume.entry(above)?;
        if parent[1] == b'.' {
            let is_fat32 = volume.mount.geometry.is_fat32();
            set_first_cluster(&mut parent, target.parent.cluster(), is_fat32);
            volume.set_entry(above, &parent)?;
        }
    }
    debug_assert_ne!(at, old.at);
    volume.unregister(&old)
}
