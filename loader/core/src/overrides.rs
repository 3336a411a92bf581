// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the command line of QEMU can change without another image or loader: files of QEMU's fw_cfg device under
//! `opt/org.little-loader/`.
//!
//! | name | meaning |
//! | --- | --- |
//! | `slot` | `a` or `b`: this slot is booted, the environment does not matter for the choice, and no choice is written |
//! | `append` | added to the kernel's command line, behind what `-append` gave |
//! | `env-lba` | the first block of the environment, in place of the built-in one, decimal |
//!
//! Source: QEMU, `docs/specs/fw_cfg.rst` (the file directory).

use thiserror::Error;

use crate::display::{Decimal, Shown, Word, decimal};
use crate::settings::SettingsError;
use crate::slots::slot::Slot;

/// Where the files of Little Loader are.
const FOLDER: &[u8] = b"opt/org.little-loader/";

/// The bytes of the number of entries at the start of the directory.
const COUNT_SIZE: usize = 4;

/// The bytes of an entry: size, selector, two unused bytes, name with its NUL.
pub const ENTRY_SIZE: usize = 64;

/// The most bytes of a value: no command line is longer.
pub const MAX_VALUE: usize = 2048;

/// A file of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The number that selects it.
    pub selector: u16,
    /// Its size in bytes.
    pub size: u32,
}

/// The files that were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `slot`
    pub slot: Option<File>,
    /// `append`
    pub append: Option<File>,
    /// `env-lba`
    pub env_lba: Option<File>,
}

/// Why an override cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OverrideError {
    /// A name below the folder that is not known.
    #[error("opt/org.little-loader/{0} is not known: slot, append and env-lba are")]
    Unknown(Shown),
    /// `env-lba` for a loader whose environment has a second copy, at this block.
    #[error(
        "opt/org.little-loader/env-lba cannot move an environment with a second copy (at block {}): leave it out and use imagegen loader --set", Decimal(*.0)
    )]
    SecondCopy(u64),
    /// `env-lba` is where no environment can lie.
    #[error("opt/org.little-loader/env-lba: {0}")]
    Place(SettingsError),
    /// The slot is none.
    #[error("opt/org.little-loader/slot is {0}, neither a nor b")]
    Slot(Shown),
    /// The block number is none.
    #[error("opt/org.little-loader/env-lba is {0}, not a decimal number")]
    EnvLba(Shown),
    /// A file is too long.
    #[error("opt/org.little-loader/{} has {} bytes; at most 2048 are possible", Word(name), Decimal(u64::from(*size)))]
    TooLong {
        /// The file, without its folder.
        name: &'static str,
        /// Its size in bytes.
        size: u32,
    },
}

impl Files {
    /// Finds the files in a directory, as much of it as was read.
    ///
    /// # Errors
    ///
    /// When one has a name that means nothing, or is too long.
    pub fn find(directory: &[u8]) -> Result<Self, OverrideError> {
        let mut files = Self::default();
        let count = directory
            .first_chunk::<COUNT_SIZE>()
            .map_or(0, |count| u32::from_be_bytes(*count) as usize);
        let entries = directory.get(COUNT_SIZE..).unwrap_or_default();
        let (entries, _) = entries.as_chunks::<ENTRY_SIZE>();
        for entry in entries.iter().take(count) {
            let [a, b, c, d, e, f, _, _, name @ ..] = entry;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let Some(name) = name.strip_prefix(FOLDER) else {
                continue;
            };
            let file = File {
                selector: u16::from_be_bytes([*e, *f]),
                size: u32::from_be_bytes([*a, *b, *c, *d]),
            };
            let places = [
                ("slot", &mut files.slot),
                ("append", &mut files.append),
                ("env-lba", &mut files.env_lba),
            ];
            let mut known = places.into_iter();
            let Some((name, place)) = known.find(|(known, _)| name == known.as_bytes()) else {
                return Err(OverrideError::Unknown(Shown::new(name)));
            };
            if file.size as usize > MAX_VALUE {
                let size = file.size;
                return Err(OverrideError::TooLong { name, size });
            }
            *place = Some(file);
        }
        Ok(files)
    }
}

/// Reads the slot of an override.
///
/// # Errors
///
/// When it is none.
pub fn slot(value: &[u8]) -> Result<Slot, OverrideError> {
    Slot::from_value(value).ok_or_else(|| OverrideError::Slot(Shown::new(value)))
}

/// Reads the block number of an override.
///
/// # Errors
///
/// When it is none.
pub fn env_lba(value: &[u8]) -> Result<u64, OverrideError> {
    decimal(value).ok_or_else(|| OverrideError::EnvLba(Shown::new(value)))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn directory(files: &[(&str, u32, u16)]) -> Vec<u8> {
        let mut bytes = u32::try_from(files.len()).unwrap().to_be_bytes().to_vec();
        for (name, size, selector) in files {
            let start = bytes.len();
            bytes.extend(size.to_be_bytes());
            bytes.extend(selector.to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(name.as_bytes());
            bytes.resize(start + ENTRY_SIZE, 0);
        }
        bytes
    }

    #[test]
    fn the_files_are_found_among_others() {
        let bytes = directory(&[
            ("etc/table-loader", 4096, 40),
            ("opt/org.little-loader/slot", 1, 41),
            ("opt/org.little-loader/append", 12, 42),
            ("opt/someone/else", 9, 43),
        ]);
        let files = Files::find(&bytes).unwrap();
        assert_eq!(
            files.slot,
            Some(File {
                selector: 41,
                size: 1
            })
        );
        assert_eq!(
            files.append,
            Some(File {
                selector: 42,
                size: 12
            })
        );
        assert_eq!(files.env_lba, None);
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let error =
            |files: &[(&str, u32, u16)]| Files::find(&directory(files)).unwrap_err().to_string();
        assert_eq!(
            error(&[("opt/org.little-loader/slots", 1, 1)]),
            "opt/org.little-loader/\"slots\" is not known: slot, append and env-lba are"
        );
        assert_eq!(
            error(&[("opt/org.little-loader/append", 3000, 1)]),
            "opt/org.little-loader/append has 3000 bytes; at most 2048 are possible"
        );
        assert_eq!(
            slot(b"c").unwrap_err().to_string(),
            "opt/org.little-loader/slot is \"c\", neither a nor b"
        );
        assert_eq!(slot(b"b"), Ok(Slot::B));
        assert_eq!(env_lba(b"8064"), Ok(8064));
        assert!(env_lba(b"0x10").is_err());
    }

    proptest! {
        #[test]
        fn any_directory_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Files::find(&bytes);
        }
    }
}
