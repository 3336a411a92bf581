// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use fwup::destination::Storage;
use little_loader_core::env::place::{EnvCopy, EnvPlace};
use little_loader_core::env::writer::SECTOR;

use super::error::EnvFileError;
use super::size_hint::{OtherSize, SEARCHED};
use crate::image::Image;

/// The blocks of an environment in an image.
#[derive(Debug)]
pub(super) struct EnvBlocks {
    image: Image,
    place: EnvPlace,
    size: usize,
    /// The copies as they are on the disk.
    copies: Vec<Vec<u8>>,
}

impl EnvBlocks {
    /// Checks the place and reads its copies. Their size is not limited to a loader's buffer.
    pub(super) fn read(image: Image, place: EnvPlace) -> Result<Self, EnvFileError> {
        place.check()?;
        let size = u32::try_from(place.size.0).map_err(|_| EnvFileError::TooLarge(place.size))?;
        let mut blocks = Self {
            image,
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

    /// Returns the size and layout that the CRC of an invalid copy fits, if any.
    pub(super) fn other_size(&mut self, copy: EnvCopy) -> Option<OtherSize> {
        let mut bytes = vec![0; SEARCHED.max(self.size)];
        let length = self.image.read_at(self.offset(copy), &mut bytes).ok()?;
        OtherSize::find(&bytes[..length], &self.place)
    }

    /// Returns the image, for its other blocks.
    pub(super) fn image(&mut self) -> &mut Image {
        &mut self.image
    }

    /// Writes the sectors of a copy from the first to the last that differs from the disk, at once,
    /// then syncs. Returns the number of sectors written.
    pub(super) fn write(&mut self, copy: EnvCopy, new: Vec<u8>) -> Result<usize, EnvFileError> {
        let start = self.offset(copy);
        let index = self.index(copy);
        let old = self.copies[index].chunks(SECTOR);
        let mut differs = old.zip(new.chunks(SECTOR)).map(|(old, new)| old != new);
        let sectors = match differs.position(|differs| differs) {
            None => 0..0,
            Some(first) => {
                let after = differs.rposition(|differs| differs);
                first..after.map_or(first + 1, |last| first + last + 2)
            }
        };
        let bytes = &new[sectors.start * SECTOR..new.len().min(sectors.end * SECTOR)];
        let offset = start + (sectors.start * SECTOR) as u64;
        self.image
            .write_at(offset, bytes)
            .map_err(|error| self.failed("cannot write", offset, error))?;
        self.image
            .sync()
            .map_err(|error| self.failed("cannot sync", start, error))?;
        self.copies[index] = new;
        Ok(sectors.len())
    }

    fn read_copy(&mut self, copy: EnvCopy) -> Result<Vec<u8>, EnvFileError> {
        let mut block = vec![0; self.size];
        let offset = self.offset(copy);
        match self.image.read_exact_at(offset, &mut block) {
            Ok(()) => Ok(block),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(EnvFileError::Short {
                    path: self.image.path().to_owned(),
                    lba: self.place.lba_of(copy),
                    size: self.place.size,
                    hint: self.other_size(copy),
                })
            }
            Err(error) => Err(self.failed("cannot read", offset, error)),
        }
    }

    fn failed(&self, action: &'static str, offset: u64, error: io::Error) -> EnvFileError {
        EnvFileError::File {
            action,
            path: self.image.path().to_owned(),
            offset,
            error,
        }
    }

    fn offset(&self, copy: EnvCopy) -> u64 {
        self.place.lba_of(copy).0.saturating_mul(512)
    }

    fn index(&self, copy: EnvCopy) -> usize {
        usize::from(copy == EnvCopy::Second && self.copies.len() > 1)
    }
}
