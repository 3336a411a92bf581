// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::error::OutsideError;
use super::sequential::Sequential;
use crate::apply::error::ApplyError;
use crate::apply::resource_copy::ResourceSink;
use crate::destination::aligned::AlignedBytes;

/// The file of `path_write`. A regular file is written in place, as in fwup, because files in
/// `/sys` and mounted files cannot be replaced. It keeps its old contents until the first write.
pub(super) struct PathOutput<'a> {
    path: &'a str,
    kind: Kind,
}

enum Kind {
    /// Holes stay holes.
    Regular { file: File, is_emptied: bool },
    /// A device or a pipe.
    Other(Sequential<File>),
}

impl<'a> PathOutput<'a> {
    pub(super) fn open(path: &'a str) -> Result<Self, OutsideError> {
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false);
        let opened = options
            .open(path)
            .and_then(|file| Ok((file.metadata()?.is_file(), file)));
        let (is_regular, file) = opened.map_err(|error| OutsideError::File {
            action: "path_write",
            what: "open",
            path: path.to_owned(),
            error,
        })?;
        let kind = match is_regular {
            true => Kind::Regular {
                file,
                is_emptied: false,
            },
            false => Kind::Other(Sequential::new(file)),
        };
        Ok(Self { path, kind })
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), OutsideError> {
        let written = match &mut self.kind {
            Kind::Regular { file, is_emptied } => {
                empty(file, is_emptied).and_then(|()| file.write_all_at(data, offset))
            }
            Kind::Other(out) => out.write_at(offset, data),
        };
        self.checked(written)
    }

    /// Extends the file to its length, after the last write.
    fn extend_to(&mut self, length: u64) -> Result<(), OutsideError> {
        let written = match &mut self.kind {
            Kind::Regular { file, is_emptied } => {
                empty(file, is_emptied).and_then(|()| extend(file, length))
            }
            Kind::Other(out) => out.fill(length),
        };
        self.checked(written)
    }

    fn checked(&self, written: io::Result<()>) -> Result<(), OutsideError> {
        written.map_err(|error| OutsideError::File {
            action: "path_write",
            what: "write",
            path: self.path.to_owned(),
            error,
        })
    }
}

impl ResourceSink for PathOutput<'_> {
    fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError> {
        Ok(self.write_at(at, piece)?)
    }

    fn finish(
        &mut self,
        last: Option<(u64, AlignedBytes)>,
        end: u64,
        _ends_in_hole: bool,
    ) -> Result<(), ApplyError> {
        if let Some((at, piece)) = last {
            self.write_at(at, &piece)?;
        }
        Ok(self.extend_to(end)?)
    }
}

fn empty(file: &File, is_emptied: &mut bool) -> io::Result<()> {
    if *is_emptied {
        return Ok(());
    }
    *is_emptied = true;
    // The length of a file in /sys cannot be set.
    match file.metadata()?.len() {
        0 => Ok(()),
        _ => file.set_len(0).or_else(unsupported),
    }
}

fn extend(file: &File, length: u64) -> io::Result<()> {
    match file.metadata()?.len() {
        found if found < length => file.set_len(length).or_else(unsupported),
        _ => Ok(()),
    }
}

/// Accepts the error of a file system such as sysfs, whose files have no length of their own.
fn unsupported(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::InvalidInput
        | io::ErrorKind::Unsupported
        | io::ErrorKind::PermissionDenied => Ok(()),
        _ => Err(error),
    }
}
