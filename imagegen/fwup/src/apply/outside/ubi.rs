// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io;

use rustix::io::Errno;
use system_calls::start_ubi_update;

use super::error::OutsideError;
use super::sequential::Sequential;
use crate::apply::error::ApplyError;
use crate::apply::resource_copy::ResourceSink;
use crate::destination::aligned::AlignedBytes;

/// A UBI volume on raw flash, whose contents are replaced. It keeps its old contents until the
/// first write, and has the new ones only after all of them have been written.
pub(super) struct UbiVolume<'a> {
    path: &'a str,
    out: Sequential<File>,
    /// How to start the update, and the length of the new contents in bytes; `None` after that.
    start: Option<(Start, u64)>,
}

/// Starts the update of a volume with a number of bytes.
type Start = fn(&File, u64) -> io::Result<()>;

impl<'a> UbiVolume<'a> {
    /// Opens a volume for `length` bytes.
    pub(super) fn open(path: &'a str, length: u64) -> Result<Self, OutsideError> {
        Self::open_with(path, length, start_ubi_update)
    }

    fn open_with(path: &'a str, length: u64, start: Start) -> Result<Self, OutsideError> {
        // What does not exist is not made.
        let opened = File::options().write(true).open(path);
        let file = opened.map_err(|error| failed("open", path, error))?;
        Ok(Self {
            path,
            out: Sequential::new(file),
            start: Some((start, length)),
        })
    }

    /// Writes to the volume whose update has started.
    fn update(
        &mut self,
        write: impl FnOnce(&mut Sequential<File>) -> io::Result<()>,
    ) -> Result<(), OutsideError> {
        if let Some((start, length)) = self.start.take() {
            start(self.out.get_ref(), length)
                .map_err(|error| not_started(self.path, length, error))?;
        }
        write(&mut self.out).map_err(|error| failed("write", self.path, error))
    }
}

impl ResourceSink for UbiVolume<'_> {
    fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError> {
        Ok(self.update(|out| out.write_at(at, piece))?)
    }

    fn finish(
        &mut self,
        last: Option<(u64, AlignedBytes)>,
        end: u64,
        _ends_in_hole: bool,
    ) -> Result<(), ApplyError> {
        if let Some((at, mut piece)) = last {
            self.write(at, &mut piece)?;
        }
        Ok(self.update(|out| out.fill(end))?)
    }
}

fn failed(what: &'static str, path: &str, error: io::Error) -> OutsideError {
    OutsideError::File {
        action: "ubi_volume_write",
        what,
        path: path.to_owned(),
        error,
    }
}

/// Says why the update of a volume has not started.
fn not_started(path: &str, length: u64, error: io::Error) -> OutsideError {
    let path = path.to_owned();
    match Errno::from_io_error(&error) {
        // Other files have no such call.
        Some(Errno::NOTTY) => OutsideError::NotUbi(path),
        Some(Errno::INVAL) => OutsideError::TooLargeForUbi { path, length },
        _ => failed("update", &path, error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Shows that the update has started by the length of the file.
    fn starts(file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn write(volume: &mut UbiVolume<'_>) -> Result<(), ApplyError> {
        volume.write(2, &mut b"ab".to_vec())?;
        volume.write(6, &mut b"c".to_vec())?;
        volume.finish(None, 9, true)
    }

    #[test]
    fn the_update_starts_before_the_first_write_and_holes_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("volume");
        fs::write(&path, "old contents").unwrap();
        let name = path.to_str().unwrap();
        let mut volume = UbiVolume::open_with(name, 9, starts).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old contents");
        write(&mut volume).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0\0ab\0\0c\0\0");

        let mut empty = UbiVolume::open_with(name, 0, starts).unwrap();
        empty.finish(None, 0, false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_cannot_be_updated_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("volume");
        let name = path.to_str().unwrap();
        assert!(matches!(
            UbiVolume::open(name, 9),
            Err(OutsideError::File { what: "open", .. })
        ));
        fs::write(&path, "old").unwrap();
        let error = |start| {
            let mut volume = UbiVolume::open_with(name, 9, start).unwrap();
            write(&mut volume).unwrap_err().to_string()
        };
        let not_ubi = error(start_ubi_update);
        assert!(not_ubi.contains("' is not a UBI volume"), "{not_ubi}");
        let too_large = error(|_, _| Err(Errno::INVAL.into()));
        assert!(too_large.contains("' cannot hold 9 bytes"), "{too_large}");
        let busy = error(|_, _| Err(Errno::BUSY.into()));
        assert!(
            busy.starts_with("ubi_volume_write: cannot update '"),
            "{busy}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
