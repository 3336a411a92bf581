// SPDX-License-Identifier: MIT OR Apache-2.0

//! The environment inside an image file: read, and changed in place with as few writes as possible.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use little_loader_core::env::block::{Env, EnvError, Format};
use little_loader_core::env::place::{EnvCopy, EnvPlace, newer};
use little_loader_core::settings::SettingsError;
use little_loader_core::units::{Bytes, Lba};

use crate::variables::{Variables, VariablesError, seal};

/// The unit that a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// Where the environment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first block of 512 bytes.
    pub lba: u64,
    /// The size of one copy in bytes.
    pub size: usize,
    /// The first block of the second copy.
    pub redundant_lba: Option<u64>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            lba: 16,
            size: 128 << 10,
            redundant_lba: None,
        }
    }
}

impl Place {
    /// How a copy is laid out.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.redundant_lba {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    /// Checks the place as the loader checks its own settings; only a loader's buffer sets a limit to the size.
    fn check(&self) -> Result<(), EnvFileError> {
        let size = u32::try_from(self.size).map_err(|_| EnvFileError::TooLarge(self.size))?;
        let place = EnvPlace {
            lba: Lba(self.lba),
            size: Bytes(size.into()),
            redundant_lba: self.redundant_lba.map(Lba),
        };
        place.check().map_err(SettingsError::from)?;
        Ok(())
    }

    fn lba(&self, copy: EnvCopy) -> u64 {
        match copy {
            EnvCopy::First => self.lba,
            EnvCopy::Second => self.redundant_lba.unwrap_or(self.lba),
        }
    }

    fn offset(&self, copy: EnvCopy) -> u64 {
        self.lba(copy).saturating_mul(512)
    }
}

/// Why an environment cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The size is beyond what any loader has room for.
    #[error("the environment's size is {0} bytes; it must be below 4 GiB")]
    TooLarge(usize),
    /// The place cannot be: copies that overlap, a size that is no number of blocks.
    #[error(transparent)]
    Place(#[from] SettingsError),
    /// The file cannot be opened.
    #[error("cannot open {}: {error}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file ends before the environment does.
    #[error(
        "{} ends before the environment does, which is {size} bytes at block {lba} (--lba, --size, --redundant-lba)",
        .path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// The block of the copy that is not all there.
        lba: u64,
        /// The size of a copy in bytes.
        size: usize,
    },
    /// The file cannot be read or written.
    #[error("{action} {} at byte {offset}: {error}", .path.display())]
    File {
        /// What was done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Where, in bytes.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The single copy is bad.
    #[error(
        "the environment at block {lba} has a {error}: is it there? (--lba, --size, --redundant-lba)"
    )]
    Bad {
        /// Its block.
        lba: u64,
        /// What is wrong.
        error: EnvError,
    },
    /// Both copies are bad.
    #[error("both copies of the environment are bad: at block {} a {}, at block {} a {}", .first.0, .first.1, .second.0, .second.1)]
    BothBad {
        /// The first copy's block, and what is wrong with it.
        first: (u64, EnvError),
        /// The same of the second one.
        second: (u64, EnvError),
    },
    /// The variables do not fit.
    #[error(transparent)]
    Variables(#[from] VariablesError),
}

/// An environment in a file.
#[derive(Debug)]
pub struct EnvFile {
    file: File,
    path: PathBuf,
    place: Place,
    /// The copies as they are on the disk.
    copies: Vec<Vec<u8>>,
    current: EnvCopy,
    /// What is wrong with the copy that does not count.
    damaged: Option<EnvError>,
}

impl EnvFile {
    /// Reads the environment of an image. `writable` opens it for [`store`](Self::store) too.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no valid environment there.
    pub fn open(path: &Path, place: Place, writable: bool) -> Result<Self, EnvFileError> {
        place.check()?;
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .open(path)
            .map_err(|error| EnvFileError::Open {
                path: path.to_owned(),
                error,
            })?;
        let which = match place.redundant_lba {
            None => &[EnvCopy::First][..],
            Some(_) => &[EnvCopy::First, EnvCopy::Second],
        };
        let mut copies = Vec::new();
        for copy in which {
            copies.push(read_copy(&file, path, place, *copy)?);
        }
        let flags = |block: &Vec<u8>| {
            Env::parse(block, place.format()).map(|env| env.flags().unwrap_or_default())
        };
        let (current, damaged) = match (flags(&copies[0]), copies.get(1).map(flags)) {
            (Ok(_), None) => (EnvCopy::First, None),
            (Ok(_), Some(Err(error))) => (EnvCopy::First, Some(error)),
            (Err(error), None) => {
                return Err(EnvFileError::Bad {
                    lba: place.lba,
                    error,
                });
            }
            (Ok(first), Some(Ok(second))) => (newer(first, second), None),
            (Err(error), Some(Ok(_))) => (EnvCopy::Second, Some(error)),
            (Err(first), Some(Err(second))) => {
                return Err(EnvFileError::BothBad {
                    first: (place.lba, first),
                    second: (place.lba(EnvCopy::Second), second),
                });
            }
        };
        Ok(Self {
            file,
            path: path.to_owned(),
            place,
            copies,
            current,
            damaged,
        })
    }

    /// The variables.
    #[must_use]
    pub fn variables(&self) -> Variables {
        Env::parse(self.block(self.current), self.place.format())
            .map(|env| Variables::from_env(&env))
            .unwrap_or_default()
    }

    /// Which copy counts, and its flags byte; `None` for a single copy.
    #[must_use]
    pub fn counting_copy(&self) -> Option<(EnvCopy, u8)> {
        let flags = Env::parse(self.block(self.current), self.place.format())
            .ok()?
            .flags()?;
        Some((self.current, flags))
    }

    /// What is wrong with the copy that does not count, and that copy's block: an interrupted write leaves that, and the
    /// next one repairs it. `None` for a single copy.
    #[must_use]
    pub fn damaged_copy(&self) -> Option<(u64, EnvError)> {
        let error = self.damaged?;
        Some((self.place.lba(self.current.other()), error))
    }

    /// Writes the variables back: the sectors that change, then a sync. Of a redundant pair only the copy that does not
    /// count is written, so that an interruption leaves the one that does. A single copy is at risk while more than one of
    /// its sectors changes; what the loader and `imagegen slot` change lies in the first one. Returns how many sectors were
    /// written.
    ///
    /// # Errors
    ///
    /// When the variables do not fit, which leaves the file as it is, or the file cannot be written.
    pub fn store(&mut self, variables: &Variables) -> Result<usize, EnvFileError> {
        let (target, flags) = match self.counting_copy() {
            None => (EnvCopy::First, 0),
            Some((current, flags)) => (current.other(), flags.wrapping_add(1)),
        };
        let mut new = variables.to_block(self.place.size, self.place.format(), flags)?;
        keep_padding(self.block(self.current), &mut new, self.place.format());
        let start = self.place.offset(target);
        let failed = |action, offset, error| EnvFileError::File {
            action,
            path: self.path.clone(),
            offset,
            error,
        };
        let mut written = 0;
        let old = self.block(target);
        for (number, (old, new)) in old.chunks(SECTOR).zip(new.chunks(SECTOR)).enumerate() {
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
        let index = usize::from(target == EnvCopy::Second);
        self.copies[index] = new;
        self.current = target;
        self.damaged = None;
        Ok(written)
    }

    fn block(&self, copy: EnvCopy) -> &[u8] {
        &self.copies[usize::from(copy == EnvCopy::Second)]
    }
}

fn read_copy(
    file: &File,
    path: &Path,
    place: Place,
    copy: EnvCopy,
) -> Result<Vec<u8>, EnvFileError> {
    let mut block = vec![0; place.size];
    let offset = place.offset(copy);
    match file.read_exact_at(&mut block, offset) {
        Ok(()) => Ok(block),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(EnvFileError::Short {
            path: path.to_owned(),
            lba: place.lba(copy),
            size: place.size,
        }),
        Err(error) => Err(EnvFileError::File {
            action: "cannot read",
            path: path.to_owned(),
            offset,
            error,
        }),
    }
}

/// Pads the new block as the old one was padded, so that only the sectors of variables change.
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

    use super::*;

    const PLACE: Place = Place {
        lba: 2,
        size: 2048,
        redundant_lba: None,
    };
    const PAIR: Place = Place {
        lba: 2,
        size: 2048,
        redundant_lba: Some(8),
    };

    fn variables(list: &[(&str, &str)]) -> Variables {
        let mut variables = Variables::new();
        for (name, value) in list {
            variables.set(*name, value);
        }
        variables
    }

    fn image(place: Place, copies: &[(u64, Vec<u8>)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0x77; 32 * 512];
        for (lba, block) in copies {
            bytes[*lba as usize * 512..][..place.size].copy_from_slice(block);
        }
        fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn one_changed_sector_is_written() {
        let before = variables(&[("nerves_fw_active", "a"), ("zzz", &"x".repeat(900))]);
        let file = image(
            PLACE,
            &[(2, before.to_block(2048, Format::Single, 0).unwrap())],
        );
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
        let file = image(PLACE, &[(2, block)]);
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
        let file = image(PAIR, &[(2, block("new", 0)), (8, block("old", 255))]);
        let before = fs::read(file.path()).unwrap();
        let mut env = EnvFile::open(file.path(), PAIR, true).unwrap();
        assert_eq!(env.counting_copy(), Some((EnvCopy::First, 0)));
        assert_eq!(env.variables().get("x"), Some(&b"new"[..]));
        env.store(&variables(&[("x", "newest")])).unwrap();
        let after = fs::read(file.path()).unwrap();
        assert_eq!(before[1024..3072], after[1024..3072]);
        let env = EnvFile::open(file.path(), PAIR, false).unwrap();
        assert_eq!(env.counting_copy(), Some((EnvCopy::Second, 1)));
        assert_eq!(env.variables().get("x"), Some(&b"newest"[..]));
    }

    #[test]
    fn what_is_bad_is_named_and_left_alone() {
        let file = image(PLACE, &[]);
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
            error.contains("at block 2 a bad CRC") && error.contains("at block 8 a bad CRC"),
            "{error}"
        );
        let refused = |place: Place| {
            EnvFile::open(file.path(), place, true)
                .unwrap_err()
                .to_string()
        };
        let far = refused(Place { lba: 40, ..PLACE });
        assert!(
            far.contains("ends before the environment does, which is 2048 bytes at block 40"),
            "{far}"
        );
        let odd = refused(Place {
            size: 1000,
            ..PLACE
        });
        assert!(odd.contains("1000 bytes; it must be a multiple"), "{odd}");
        let huge = refused(Place {
            lba: u64::MAX - 3,
            ..PLACE
        });
        assert!(huge.contains("past the largest block number"), "{huge}");
        let good = image(
            PLACE,
            &[(2, variables(&[]).to_block(2048, Format::Single, 0).unwrap())],
        );
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
        let file = image(PAIR, &[(2, block)]);
        let overlapping = Place {
            redundant_lba: Some(5),
            ..PAIR
        };
        let error = EnvFile::open(file.path(), overlapping, true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("at blocks 2 and 5 overlap"), "{error}");
    }

    #[test]
    fn a_damaged_copy_is_told_and_the_next_write_repairs_it() {
        let block = |value: &str, flags| {
            variables(&[("x", value)])
                .to_block(2048, Format::Redundant, flags)
                .unwrap()
        };
        let file = image(PAIR, &[(8, block("good", 9))]);
        let mut env = EnvFile::open(file.path(), PAIR, true).unwrap();
        let (lba, error) = env.damaged_copy().unwrap();
        assert_eq!(lba, 2);
        assert!(error.to_string().contains("stored 0x77777777"), "{error}");
        env.store(&variables(&[("x", "next")])).unwrap();
        assert_eq!(env.damaged_copy(), None);
        let env = EnvFile::open(file.path(), PAIR, false).unwrap();
        assert_eq!(env.damaged_copy(), None);
        assert_eq!(env.counting_copy(), Some((EnvCopy::First, 10)));
    }
}
