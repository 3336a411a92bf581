// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::Path;

use little_loader_core::env::block::{Env, EnvError, Format, seal};
use little_loader_core::env::place::{EnvCopy, EnvPlace, active_copy};
use little_loader_core::units::Lba;

use super::blocks::EnvBlocks;
use super::error::EnvFileError;
use crate::image::Image;
use crate::variables::Variables;

/// A valid environment in an image.
#[derive(Debug)]
pub struct EnvFile {
    blocks: EnvBlocks,
    active: EnvCopy,
    /// The error of the inactive copy, if it is invalid.
    damaged: Option<EnvError>,
}

impl EnvFile {
    /// Opens an image and reads its environment. [`store`](Self::store) needs `is_writable`.
    ///
    /// # Errors
    ///
    /// When the image cannot be opened or read, or has no valid environment at `place`. If the CRC fits
    /// another size or layout, the error names it.
    pub fn open(path: &Path, place: EnvPlace, is_writable: bool) -> Result<Self, EnvFileError> {
        Self::of(Image::open(path, is_writable)?, place)
    }

    /// Reads the environment of an open image. [`store`](Self::store) needs one open for writing.
    ///
    /// # Errors
    ///
    /// When the image cannot be read, or has no valid environment at `place`. If the CRC fits
    /// another size or layout, the error names it.
    pub fn of(image: Image, place: EnvPlace) -> Result<Self, EnvFileError> {
        let mut blocks = EnvBlocks::read(image, place)?;
        let flags = |copy| {
            Env::parse(blocks.copy(copy), place.format()).map(|env| env.flags().unwrap_or_default())
        };
        let (active, damaged) = if place.redundant_lba.is_none() {
            flags(EnvCopy::First).map_err(|error| EnvFileError::Bad {
                lba: place.lba,
                error,
                hint: blocks.other_size(EnvCopy::First),
            })?;
            (EnvCopy::First, None)
        } else {
            active_copy(flags(EnvCopy::First), flags(EnvCopy::Second)).map_err(
                |(first, second)| EnvFileError::BothBad {
                    first: (place.lba, first),
                    second: (place.lba_of(EnvCopy::Second), second),
                    hint: blocks
                        .other_size(EnvCopy::First)
                        .or_else(|| blocks.other_size(EnvCopy::Second)),
                },
            )?
        };
        Ok(Self {
            blocks,
            active,
            damaged: damaged.map(|(_, error)| error),
        })
    }

    /// Returns the variables of the active copy.
    #[must_use]
    pub fn variables(&self) -> Variables {
        self.env()
            .map(|env| Variables::from_env(&env))
            .unwrap_or_default()
    }

    /// Returns the active copy of a pair and its flags byte; `None` for a single copy.
    #[must_use]
    pub fn active_copy(&self) -> Option<(EnvCopy, u8)> {
        Some((self.active, self.env().ok()?.flags()?))
    }

    /// Returns the first block of the inactive copy and its error, if that copy is invalid, as
    /// after an interrupted write. The next write repairs it.
    #[must_use]
    pub fn damaged_copy(&self) -> Option<(Lba, EnvError)> {
        let error = self.damaged?;
        Some((self.blocks.place().lba_of(self.active.other()), error))
    }

    /// Returns the image, to read and write its other blocks.
    pub fn image(&mut self) -> &mut Image {
        self.blocks.image()
    }

    /// Returns the place of the environment.
    #[must_use]
    pub fn place(&self) -> &EnvPlace {
        self.blocks.place()
    }

    /// Checks that the environment has room for these variables.
    ///
    /// # Errors
    ///
    /// When the variables do not fit, or a name or value cannot be stored.
    pub fn check(&self, variables: &Variables) -> Result<(), EnvFileError> {
        variables.to_block(self.blocks.size(), self.blocks.place().format(), 0)?;
        Ok(())
    }

    /// Writes the variables to the image: only the sectors that change, then a sync. Of a redundant
    /// pair, only the inactive copy is written, so that the active one survives an interruption. A
    /// single copy is at risk while more than one of its sectors changes; the variables that the
    /// loader and `imagegen slot` change are in the first sector. Returns the number of sectors
    /// written.
    ///
    /// # Errors
    ///
    /// When the variables do not fit (the file is then unchanged), or the file cannot be written.
    pub fn store(&mut self, variables: &Variables) -> Result<usize, EnvFileError> {
        let (target, flags) = match self.active_copy() {
            None => (EnvCopy::First, 0),
            Some((active, flags)) => (active.other(), flags.wrapping_add(1)),
        };
        let format = self.blocks.place().format();
        let mut new = variables.to_block(self.blocks.size(), format, flags)?;
        keep_padding(self.blocks.copy(self.active), &mut new, format);
        let written = self.blocks.write(target, new)?;
        self.active = target;
        self.damaged = None;
        Ok(written)
    }

    fn env(&self) -> Result<Env<'_>, EnvError> {
        Env::parse(self.blocks.copy(self.active), self.blocks.place().format())
    }
}

/// Pads the new block with zeroes if the old one was, so that only sectors with variables change.
fn keep_padding(old: &[u8], new: &mut [u8], format: Format) {
    let Some(padding) = old.last().copied().filter(|padding| *padding == 0) else {
        return;
    };
    let used = Env::parse(new, format).map_or(new.len(), |env| env.used() + format.data_offset());
    new[used..].fill(padding);
    seal(new, format);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use little_loader_core::units::Bytes;

    use super::*;

    const PLACE: EnvPlace = EnvPlace {
        lba: Lba(2),
        size: Bytes(2048),
        redundant_lba: None,
    };
    const PAIR: EnvPlace = EnvPlace {
        redundant_lba: Some(Lba(8)),
        ..PLACE
    };

    fn variables(list: &[(&str, &str)]) -> Variables {
        let mut variables = Variables::new();
        for (name, value) in list {
            variables.set(*name, value);
        }
        variables
    }

    fn image(copies: &[(u64, Vec<u8>)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0x77; 32 * 512];
        for (lba, block) in copies {
            bytes[*lba as usize * 512..][..block.len()].copy_from_slice(block);
        }
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn one_changed_sector_is_written() {
        let before = variables(&[("nerves_fw_active", "a"), ("zzz", &"x".repeat(900))]);
        let file = image(&[(2, before.to_block(2048, Format::Single, 0).unwrap())]);
        let mut env = EnvFile::open(file.path(), PLACE, true).unwrap();
        let mut changed = env.variables();
        changed.set("nerves_fw_active", "b");
        assert_eq!(env.store(&changed).unwrap(), 1);
        assert_eq!(
            EnvFile::open(file.path(), PLACE, false)
                .unwrap()
                .variables(),
            changed
        );
        let bytes = fs::read(file.path()).unwrap();
        assert!(
            bytes[..1024]
                .iter()
                .chain(&bytes[1024 + 2048..])
                .all(|byte| *byte == 0x77)
        );
    }

    #[test]
    fn zero_padding_is_kept() {
        let mut block = variables(&[("a", "1")])
            .to_block(2048, Format::Single, 0)
            .unwrap();
        block[10..].fill(0);
        let crc = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&crc.to_le_bytes());
        let file = image(&[(2, block)]);
        let mut env = EnvFile::open(file.path(), PLACE, true).unwrap();
        assert_eq!(env.store(&variables(&[("a", "2")])).unwrap(), 1);
    }

    #[test]
    fn of_a_pair_the_older_copy_is_written() {
        let block = |value: &str, flags| {
            variables(&[("x", value)])
                .to_block(2048, Format::Redundant, flags)
                .unwrap()
        };
        let file = image(&[(2, block("new", 0)), (8, block("old", 255))]);
        let before = fs::read(file.path()).unwrap();
        let mut env = EnvFile::open(file.path(), PAIR, true).unwrap();
        assert_eq!(env.active_copy(), Some((EnvCopy::First, 0)));
        assert_eq!(env.variables().get("x"), Some(&b"new"[..]));
        env.store(&variables(&[("x", "newest")])).unwrap();
        let after = fs::read(file.path()).unwrap();
        assert_eq!(before[1024..3072], after[1024..3072]);
        let env = EnvFile::open(file.path(), PAIR, false).unwrap();
        assert_eq!(env.active_copy(), Some((EnvCopy::Second, 1)));
        assert_eq!(env.variables().get("x"), Some(&b"newest"[..]));
    }

    #[test]
    fn a_bad_environment_is_named_and_left_alone() {
        let file = image(&[]);
        let error = EnvFile::open(file.path(), PLACE, true)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(
                "the environment at block 2 has a bad CRC: stored 0x77777777, computed 0x"
            ),
            "{error}"
        );
        let error = EnvFile::open(file.path(), PAIR, true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("block 2 has a bad CRC") && error.contains("block 8 has a bad CRC"),
            "{error}"
        );
        let refused = |place: EnvPlace| {
            EnvFile::open(file.path(), place, true)
                .unwrap_err()
                .to_string()
        };
        let far = refused(EnvPlace {
            lba: Lba(40),
            ..PLACE
        });
        assert!(
            far.contains("is too short for the environment of 2048 bytes at block 40"),
            "{far}"
        );
        let odd = refused(EnvPlace {
            size: Bytes(1000),
            ..PLACE
        });
        assert!(odd.contains("1000 bytes; it must be a multiple"), "{odd}");
        let huge = refused(EnvPlace {
            lba: Lba(u64::MAX - 3),
            ..PLACE
        });
        assert!(huge.contains("past the largest block number"), "{huge}");
        let good = image(&[(2, variables(&[]).to_block(2048, Format::Single, 0).unwrap())]);
        let before = fs::read(good.path()).unwrap();
        let mut env = EnvFile::open(good.path(), PLACE, true).unwrap();
        assert!(env.store(&variables(&[("x", &"y".repeat(3000))])).is_err());
        assert_eq!(fs::read(good.path()).unwrap(), before);
    }
    #[test]
    fn copies_that_overlap_are_refused_before_anything_is_written() {
        let block = variables(&[("x", "1")])
            .to_block(2048, Format::Redundant, 3)
            .unwrap();
        let file = image(&[(2, block)]);
        let overlapping = EnvPlace {
            redundant_lba: Some(Lba(5)),
            ..PAIR
        };
        let error = EnvFile::open(file.path(), overlapping, true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("at blocks 2 and 5 overlap"), "{error}");
    }

    #[test]
    fn a_damaged_copy_is_reported_and_the_next_write_repairs_it() {
        let block = |value: &str, flags| {
            variables(&[("x", value)])
                .to_block(2048, Format::Redundant, flags)
                .unwrap()
        };
        let file = image(&[(8, block("good", 9))]);
        let mut env = EnvFile::open(file.path(), PAIR, true).unwrap();
        let (lba, error) = env.damaged_copy().unwrap();
        assert_eq!(lba, Lba(2));
        assert!(error.to_string().contains("stored 0x77777777"), "{error}");
        env.store(&variables(&[("x", "next")])).unwrap();
        assert_eq!(env.damaged_copy(), None);
        let env = EnvFile::open(file.path(), PAIR, false).unwrap();
        assert_eq!(env.damaged_copy(), None);
        assert_eq!(env.active_copy(), Some((EnvCopy::First, 10)));
    }
}
