// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copying a file, within a volume or to another one.

use super::mounts::Session;
use crate::error::Error;
use crate::storage::{Start, Storage};

/// How many bytes are copied at once.
const PART: usize = 64 << 10;

impl Session {
    /// Copies the data of a file; a file at the destination is replaced as in [`Session::write`].
    /// A file copied onto itself stays as it is, while fwup would destroy it.
    ///
    /// # Errors
    ///
    /// Those of [`Session::open`] for the source, before anything changes, and those of
    /// [`Session::write`].
    pub fn copy(
        &mut self,
        disk: &mut dyn Storage,
        from: (Start, &str),
        to: (Start, &str),
    ) -> Result<(), Error> {
        self.last_file = None;
        let map = self.open(disk, from.0, from.1)?;
        if from.0 == to.0 && self.is_same(disk, from.0, from.1, to.1)? {
            return Ok(());
        }
        let mut writer = self.write(disk, to.0, to.1)?;
        let mut part = vec![0; PART];
        let mut offset = 0;
        while offset < map.length() {
            let read = writer.read_from(&map, offset, &mut part)?;
            writer.write_at(u64::from(offset), &part[..read])?;
            // A part has at most 64 KiB.
            offset += read as u32;
        }
        writer.finish()?;
        self.last_file = None;
        Ok(())
    }

    fn is_same(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        one: &str,
        other: &str,
    ) -> Result<bool, Error> {
        self.on(disk, start, |volume, _| {
            let (_, one) = volume.resolve_existing(one)?;
            let other = volume.resolve(other)?.found;
            Ok(other.is_some_and(|other| other.at == one.at))
        })
    }
}
