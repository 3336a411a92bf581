// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Read, Write};

use super::error::DeltaArchiveError;
use crate::archive::read::Archive;
use crate::blake2b::Hasher;
use crate::firmware::model::Resource;

/// Reads the data of a resource from the current entry of an archive, and compares it with
/// `meta.conf` at its end.
pub(super) struct ResourceReader<'a, R> {
    archive: &'a mut Archive<R>,
    resource: &'a Resource,
    /// `old` or `new`.
    which: &'static str,
    /// The number of bytes that are expected.
    left: u64,
    hash: Hasher,
}

impl<'a, R: Read> ResourceReader<'a, R> {
    pub(super) fn new(
        archive: &'a mut Archive<R>,
        resource: &'a Resource,
        which: &'static str,
    ) -> Self {
        Self {
            archive,
            resource,
            which,
            left: resource.data_length(),
            hash: Hasher::new(),
        }
    }

    /// Reads some bytes; none at the end. `out` is not empty.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, DeltaArchiveError> {
        let which = self.which;
        let length = self
            .archive
            .read(out)
            .map_err(|error| DeltaArchiveError::Read { which, error })?;
        let left = self.left.checked_sub(length as u64);
        self.hash.update(&out[..length]);
        let is_as_expected = match left {
            Some(0) if length == 0 => self.resource.hash == Some(self.hash.finalize()),
            Some(_) => length > 0,
            None => false,
        };
        match left.filter(|_| is_as_expected) {
            Some(left) => {
                self.left = left;
                Ok(length)
            }
            None => Err(DeltaArchiveError::Damaged {
                which,
                resource: self.resource.name.clone(),
            }),
        }
    }
}

/// Copies what is read.
pub(super) struct Tee<'a, R, W> {
    pub(super) input: ResourceReader<'a, R>,
    pub(super) copy: W,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(out).map_err(io::Error::other)?;
        let copied = self.copy.write_all(&out[..length]);
        copied.map_err(|error| io::Error::other(DeltaArchiveError::Temporary(error)))?;
        Ok(length)
    }
}
