// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use little_loader_core::env::place::{EnvCopy, EnvPlace};
use little_loader_core::env::writer::SECTOR;

use super::error::EnvFileError;
use super::size_hint::{OtherSize, SEARCHED};

/// The blocks of an environment in a file.
#[derive(Debug)]
pub(super) struct EnvBlocks {
    file: File,
    path: PathBuf,
    place: EnvPlace,
    size: usize,
    /// The copies as they are on the disk.
    copies: Vec<Vec<u8>>,
}

impl EnvBlocks {
    /// Checks the place and reads its copies. Their size is not limited to a loader's buffer.
    pub(super) fn read(
        path: &Path,
        place: EnvPlace,
        is_writable: bool,
    ) -> Result<Self, EnvFileError> {
        place.check()?;
        let size = u32::try_from(place.size.0).map_err(|_| EnvFileError::TooLarge(place.size))?;
        let file = OpenOptions::new()
            .read(true)
            .write(is_writable)
            .open(path)
            .map_err(|error| EnvFileError::Open {
                path: path.to_owned(),
                error,
            })?;
        let mut blocks = Self {
            file,
            path: path.to_owned(),
            place,
            size: size as usize,
            copies: Vec::new(),
        };
        let second = place.redundant_lba.map(|_| EnvCopy::Second);
        for copy in [Some(EnvCopy::First), second].into_iter().flatten() {
            let block = blocks.read_copy(copy)?;
            blocks.copies.push(block);
        }
        Ok(blocks)
    }

    pub(super) fn place(&self) -> &EnvPlace {
        &self.place
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns a copy; without a second copy, always the first.
    pub(super) fn copy(&self, copy: EnvCopy) -> &[u8] {
        &self.copies[self.index(copy)]
    }

    /// Iterates over the copies.
    pub(super) fn copies(&self) -> impl Iterator<Item = (EnvCopy, &[u8])> {
        [EnvCopy::First, EnvCopy::Second]
            .into_iter()
            .zip(self.copies.iter().map(Vec::as_slice))
    }

    /// Returns the size and layout that the CRC of an invalid copy fits, if any.
    pub(super) fn other_size(&self, copy: EnvCopy) -> Option<OtherSize> {
        let mut bytes = vec![0; SEARCHED.max(self.size)];
        let mut length = 0;
        let start = self.offset(copy);
        while length < bytes.len() {
            match self
                .file
                .read_at(&mut bytes[length..], start + length as u64)
            {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        OtherSize::find(&bytes[..length], &self.place)
    }

    /// Writes the sectors of a copy that differ from the disk, then syncs. Returns the number of
    /// sectors written.
    pub(super) fn write(&mut self, copy: EnvCopy, new: Vec<u8>) -> Result<usize, EnvFileError> {
        let start = self.offset(copy);
        let index = self.index(copy);
        let failed = |action, offset, error| EnvFileError::File {
            action,
            path: self.path.clone(),
            offset,
            error,
        };
        let mut written = 0;
        let sectors = self.copies[index].chunks(SECTOR).zip(new.chunks(SECTOR));
        for (number, (old, new)) in sectors.enumerate() {
            if old != new {
                let offset = start + (number * SECTOR) as u64;
                self.file
                    .write_all_at(new, offset)
                    .map_err(|error| failed("cannot write", offset, error))?;
                written += 1;
            }
        }
        self.file
            .sync_all()
            .map_err(|error| failed("cannot sync", start, error))?;
        self.copies[index] = new;
        Ok(written)
    }

    fn read_copy(&self, copy: EnvCopy) -> Result<Vec<u8>, EnvFileError> {
        let mut block = vec![0; self.size];
        let offset = self.offset(copy);
        match self.file.read_exact_at(&mut block, offset) {
            Ok(()) => Ok(block),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(EnvFileError::Short {
                    path: self.path.clone(),
                    lba: self.place.lba_of(copy),
                    size: self.place.size,
                    hint: self.other_size(copy),
                })
            }
            Err(error) => Err(EnvFileError::File {
                action: "cannot read",
                path: self.path.clone(),
                offset,
                error,
            }),
        }
    }

    fn offset(&self, copy: EnvCopy) -> u64 {
        self.place.lba_of(copy).0.saturating_mul(512)
    }

    fn index(&self, copy: EnvCopy) -> usize {
        usize::from(copy == EnvCopy::Second && self.copies.len() > 1)
    }
}
