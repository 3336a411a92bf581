// SPDX-License-Identifier: MIT OR Apache-2.0

//! The `delta-source-…` options of an `on-resource` section: the data that a delta starts from.

use super::call::MOST_BLOCK;
use super::fat_action::FatPath;
use super::integer;
use super::model::SectionOptions;
use crate::disk_cipher::{DiskCipher, DiskCipherError};
use little_loader_core::units::BLOCK_SIZE;

/// The source of a delta. Offsets and lengths are in bytes.
#[derive(Debug)]
pub(crate) enum DeltaSource<'a> {
    /// A part of the destination.
    Raw {
        offset: u64,
        /// `None` up to the end of the destination.
        length: Option<u64>,
        cipher: Option<Box<DiskCipher>>,
    },
    /// A file on a FAT file system of the destination.
    File(FatPath<'a>),
}

/// The kind of the source that options name. It is known without the variables that only the device
/// can resolve: offsets, paths and secrets may contain them, a count cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A part of the destination of so many bytes; `None` up to its end.
    Raw(Option<u64>),
    /// A file on a FAT file system.
    File,
}

impl SourceKind {
    /// Returns the kind; `None` if the options name no source. A part of the destination takes
    /// precedence over a file.
    pub(crate) fn of(options: &SectionOptions) -> Option<Self> {
        let is_set = |name| options.text(name).is_some();
        let count = options.integer("delta-source-raw-count");
        // A number that is not positive means "no source".
        let count = count.map_or(Ok(None), |count| u64::try_from(count).map(Some));
        if let (true, Ok(count)) = (is_set("delta-source-raw-offset"), count)
            && count != Some(0)
        {
            return Some(Self::Raw(
                count.map(|count| count.saturating_mul(BLOCK_SIZE)),
            ));
        }
        let is_file = is_set("delta-source-fat-offset") && is_set("delta-source-fat-path");
        is_file.then_some(Self::File)
    }
}

/// Why the source of a delta is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaSourceError {
    /// An option is not a number, or it is too large.
    #[error("{option} needs a number from 0 to {MOST_BLOCK}, found '{found}'")]
    Number {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
    },
    /// The options of the encryption are invalid.
    #[error("delta-source-raw-options: {0}")]
    Cipher(#[from] DiskCipherError),
}

impl<'a> DeltaSource<'a> {
    /// Reads the options of an `on-resource` section; `None` if they name no source.
    pub(crate) fn parse(options: &'a SectionOptions) -> Result<Option<Self>, DeltaSourceError> {
        let text = |name| options.text(name).unwrap_or_default();
        let offset = |name| blocks(name, text(name));
        match SourceKind::of(options) {
            None => Ok(None),
            Some(SourceKind::Raw(length)) => {
                let cipher = match text("delta-source-raw-options") {
                    "" => None,
                    text => DiskCipher::parse(&[text])?,
                };
                Ok(Some(Self::Raw {
                    offset: offset("delta-source-raw-offset")?,
                    length,
                    cipher: cipher.map(Box::new),
                }))
            }
            Some(SourceKind::File) => Ok(Some(Self::File(FatPath {
                volume: offset("delta-source-fat-offset")?,
                path: text("delta-source-fat-path"),
            }))),
        }
    }
}

/// Parses a block number, and returns it in bytes.
fn blocks(option: &'static str, text: &str) -> Result<u64, DeltaSourceError> {
    integer::unsigned(text)
        .filter(|block| *block <= MOST_BLOCK)
        .map(|block| block * BLOCK_SIZE)
        .ok_or_else(|| DeltaSourceError::Number {
            option,
            found: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::model::Value;

    fn parsed(options: &[(&str, Value)]) -> Result<String, String> {
        let options = options
            .iter()
            .map(|(name, value)| (format!("delta-source-{name}"), value.clone()));
        let options = SectionOptions(options.collect());
        DeltaSource::parse(&options)
            .map(|source| match source {
                None => "none".to_owned(),
                Some(DeltaSource::Raw {
                    offset,
                    length,
                    cipher,
                }) => format!("{offset} {length:?} {}", cipher.is_some()),
                Some(DeltaSource::File(file)) => format!("{} {}", file.volume, file.path),
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_part_of_the_disk_takes_precedence_over_a_file() {
        let text = |text: &str| Value::Text(text.to_owned());
        let raw = ("raw-offset", text("0x10"));
        let secret = format!("cipher=aes-cbc-plain,secret={}", "0".repeat(64));
        let secret = ("raw-options", text(&secret));
        let raw_alone = [raw.clone()];
        let count = |count| ("raw-count", Value::Integer(count));
        let file = [("fat-offset", text("63")), ("fat-path", text("a/b"))];
        let raw_and_file = [raw.clone(), file[0].clone(), file[1].clone()];
        for (options, expected) in [
            (&[][..], Ok("none")),
            (&raw_alone, Ok("8192 None false")),
            (&[raw.clone(), count(2), secret], Ok("8192 Some(1024) true")),
            (&raw_and_file, Ok("8192 None false")),
            (&[&raw_and_file[..], &[count(0)]].concat(), Ok("32256 a/b")),
            (&[raw, count(-1)], Ok("none")),
            (&file, Ok("32256 a/b")),
            (&file[..1], Ok("none")),
            (
                &[("raw-offset", text("1k"))],
                Err(
                    "delta-source-raw-offset needs a number from 0 to 36028797018963967, found '1k'",
                ),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(parsed(options), expected);
        }
    }
}
