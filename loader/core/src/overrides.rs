// SPDX-License-Identifier: MIT OR Apache-2.0

//! Overrides: settings for one guest on QEMU's command line, passed as fw_cfg files under
//! `opt/org.little-loader/`.
//!
//! | name | meaning |
//! | --- | --- |
//! | `slot` | `a` or `b`: boots this slot regardless of the environment, and writes nothing for the choice |
//! | `append` | text added to the kernel's command line, after that of `-append` |
//! | `env-lba` | the first block of the environment, in decimal; replaces the built-in one |
//! | `quiet` | `1`: prints only warnings and errors; `0`: prints everything, whatever is built in |
//!
//! NULs at the end of a value are dropped, since a file written by a C program may end with one; a
//! NUL before other bytes is an error, since the kernel would not see the rest.
//!
//! Source: QEMU, `docs/specs/fw_cfg.rst` (the file directory).

use thiserror::Error;

use crate::display::{Shown, Word, decimal};
use crate::settings::SettingsError;
use crate::slots::slot::Slot;
use crate::units::{Count, Lba};

/// The folder of Little Loader's files.
const FOLDER: &[u8] = b"opt/org.little-loader/";

/// The size in bytes of the entry count at the start of the directory.
const COUNT_SIZE: usize = 4;

/// The size of an entry in bytes: size, selector, two unused bytes, NUL-terminated name.
pub const ENTRY_SIZE: usize = 64;

/// The maximum size of a value in bytes: no command line is longer.
pub const MAX_VALUE: usize = 2048;

/// A file in the fw_cfg directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The fw_cfg selector of the file.
    pub selector: u16,
    /// Its size in bytes.
    pub size: u32,
}

/// The override files that the directory contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// `slot`
    pub slot: Option<File>,
    /// `append`
    pub append: Option<File>,
    /// `env-lba`
    pub env_lba: Option<File>,
    /// `quiet`
    pub quiet: Option<File>,
}

/// A reason to reject an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OverrideError {
    /// A file in the folder has an unknown name.
    #[error("opt/org.little-loader/{0} is not known: slot, append, env-lba and quiet are")]
    Unknown(Shown),
    /// `env-lba` is set, but the built-in location has a second copy, at this block.
    #[error(
        "opt/org.little-loader/env-lba cannot move an environment with a second copy (at block {0}): leave it out and use imagegen loader --set"
    )]
    SecondCopy(Lba),
    /// The environment cannot start at the block in `env-lba`.
    #[error("opt/org.little-loader/env-lba: {0}")]
    Place(SettingsError),
    /// The value of `slot` is invalid.
    #[error("opt/org.little-loader/slot is {0}, neither a nor b")]
    Slot(Shown),
    /// The value of `env-lba` is invalid.
    #[error("opt/org.little-loader/env-lba is {0}, not a decimal number")]
    EnvLba(Shown),
    /// The value of `quiet` is invalid.
    #[error("opt/org.little-loader/quiet is {0}, neither 0 nor 1")]
    Quiet(Shown),
    /// The value of `append` has a NUL before other bytes.
    #[error(
        "opt/org.little-loader/append has a NUL at offset {offset}, before other bytes: the kernel would not see the rest"
    )]
    AppendNul {
        /// The NUL's offset in bytes.
        offset: Count,
    },
    /// A value is longer than [`MAX_VALUE`].
    #[error(
        "opt/org.little-loader/{} has {size} bytes; at most 2048 are possible",
        Word(name)
    )]
    TooLong {
        /// The file name without the folder.
        name: &'static str,
        /// Its size in bytes.
        size: Count,
    },
}

impl Files {
    /// Finds the override files in a fw_cfg directory, or in the first part of one.
    ///
    /// # Errors
    ///
    /// When a file has an unknown name, or is too long.
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
                ("quiet", &mut files.quiet),
            ];
            let mut known = places.into_iter();
            let Some((name, place)) = known.find(|(known, _)| name == known.as_bytes()) else {
                return Err(OverrideError::Unknown(Shown::new(name)));
            };
            if file.size as usize > MAX_VALUE {
                let size = file.size.into();
                return Err(OverrideError::TooLong { name, size });
            }
            *place = Some(file);
        }
        Ok(files)
    }
}

/// Strips the NULs at the end of a value.
fn without_nuls(value: &[u8]) -> &[u8] {
    let length = value.iter().rposition(|byte| *byte != 0);
    &value[..length.map_or(0, |last| last + 1)]
}

/// Parses the value of `slot`.
///
/// # Errors
///
/// When it is neither `a` nor `b`.
pub fn slot(value: &[u8]) -> Result<Slot, OverrideError> {
    Slot::from_value(without_nuls(value)).ok_or_else(|| OverrideError::Slot(Shown::new(value)))
}

/// Parses the value of `env-lba`.
///
/// # Errors
///
/// When it is not a decimal number.
pub fn env_lba(value: &[u8]) -> Result<Lba, OverrideError> {
    let number = decimal(without_nuls(value));
    number
        .map(Lba)
        .ok_or_else(|| OverrideError::EnvLba(Shown::new(value)))
}

/// Parses the value of `quiet`.
///
/// # Errors
///
/// When it is neither `0` nor `1`.
pub fn quiet(value: &[u8]) -> Result<bool, OverrideError> {
    match without_nuls(value) {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(OverrideError::Quiet(Shown::new(value))),
    }
}

/// Parses the value of `append`. Returns the bytes to add to the command line.
///
/// # Errors
///
/// When a NUL comes before other bytes.
pub fn append(value: &[u8]) -> Result<&[u8], OverrideError> {
    let text = without_nuls(value);
    match text.iter().position(|byte| *byte == 0) {
        None => Ok(text),
        Some(offset) => Err(OverrideError::AppendNul {
            offset: offset.into(),
        }),
    }
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
            ("opt/org.little-loader/quiet", 1, 44),
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
        assert_eq!(
            files.quiet,
            Some(File {
                selector: 44,
                size: 1
            })
        );
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let error =
            |files: &[(&str, u32, u16)]| Files::find(&directory(files)).unwrap_err().to_string();
        assert_eq!(
            error(&[("opt/org.little-loader/slots", 1, 1)]),
            "opt/org.little-loader/\"slots\" is not known: slot, append, env-lba and quiet are"
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
        assert_eq!(env_lba(b"8064"), Ok(Lba(8064)));
        assert!(env_lba(b"0x10").is_err());
        assert_eq!((quiet(b"1\0"), quiet(b"0")), (Ok(true), Ok(false)));
        assert_eq!(
            quiet(b"yes").unwrap_err().to_string(),
            "opt/org.little-loader/quiet is \"yes\", neither 0 nor 1"
        );
    }

    #[test]
    fn nuls_end_a_value_and_split_none() {
        assert_eq!(append(b"quiet serial=12"), Ok(&b"quiet serial=12"[..]));
        assert_eq!(append(b"quiet\0\0"), Ok(&b"quiet"[..]));
        assert_eq!(append(b"\0"), Ok(&b""[..]));
        assert_eq!(append(b""), Ok(&b""[..]));
        assert_eq!(
            append(b"quiet\0serial=12\0").unwrap_err().to_string(),
            "opt/org.little-loader/append has a NUL at offset 5, before other bytes: \
             the kernel would not see the rest"
        );
        assert_eq!(slot(b"b\0"), Ok(Slot::B));
        assert_eq!(env_lba(b"12\0"), Ok(Lba(12)));
        assert!(slot(b"\0b").is_err());
    }

    proptest! {
        #[test]
        fn any_directory_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Files::find(&bytes);
        }
    }
}
