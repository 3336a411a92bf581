// SPDX-License-Identifier: MIT OR Apache-2.0

//! Questions that requirements ask, and reading.

use super::map::FileMap;
use super::mounts::Session;
use crate::disk::entry::is_directory;
use crate::error::Error;
use crate::storage::{Start, Storage};

/// How many bytes of a file are searched at once.
const PART: usize = 64 << 10;

impl Session {
    /// Finds the data of a file, to be read while other volumes of the disk change.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NoDirectory`], [`Error::IsDirectory`],
    /// [`Error::InvalidPath`], [`Error::Fragmented`], and those of the volume and the disk.
    pub fn open(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        path: &str,
    ) -> Result<FileMap, Error> {
        self.on(disk, start, |volume, _| {
            let (_, found) = volume.resolve_existing(path)?;
            if is_directory(&found.entry) {
                return Err(Error::IsDirectory {
                    path: path.to_owned(),
                });
            }
            FileMap::new(volume, &found)
        })
    }

    /// Whether there is such a file; a directory is not one.
    ///
    /// # Errors
    ///
    /// Those of the volume and the disk, and [`Error::InvalidPath`]. A requirement treats them as
    /// not met.
    pub fn exists(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        path: &str,
    ) -> Result<bool, Error> {
        self.last_file = None;
        self.on(disk, start, |volume, _| match volume.resolve(path) {
            Ok(target) => Ok(target
                .found
                .is_some_and(|found| !is_directory(&found.entry))),
            Err(Error::NoDirectory { .. }) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Whether a file contains these bytes. An empty pattern is in each file.
    ///
    /// # Errors
    ///
    /// Those of [`Session::open`]. A requirement treats them as not met.
    pub fn file_contains(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        path: &str,
        pattern: &[u8],
    ) -> Result<bool, Error> {
        self.last_file = None;
        let map = self.open(disk, start, path)?;
        if pattern.is_empty() {
            return Ok(true);
        }
        let mut text = Vec::new();
        let mut offset = 0;
        while offset < map.length() {
            let kept = text.len();
            text.resize(kept + PART, 0);
            let read = map.read_at(disk, offset, &mut text[kept..])?;
            text.truncate(kept + read);
            // A part of a file has at most 64 KiB.
            offset += read as u32;
            if text.windows(pattern.len()).any(|window| window == pattern) {
                return Ok(true);
            }
            // A match can start at the end of one part and go on in the next.
            let kept = text.len().min(pattern.len() - 1);
            text.drain(..text.len() - kept);
        }
        Ok(false)
    }
}
