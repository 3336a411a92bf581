// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::ops::Range;

use little_loader_core::env::block::{Env, EnvError, Format};
use little_loader_core::env::place::EnvCopy;
use little_loader_core::units::Lba;

use super::blocks::EnvBlocks;
use super::size_hint::OtherSize;
use crate::variables::Variables;

/// One copy of an environment, examined without regard to its CRC.
#[derive(Clone, Debug)]
pub struct CopyDiagnosis {
    /// The copy.
    pub copy: EnvCopy,
    /// Its first block.
    pub lba: Lba,
    /// The flags byte; `None` for a single copy.
    pub flags: Option<u8>,
    /// The error of the block; `None` if it is valid.
    pub error: Option<EnvError>,
    /// The size and layout that the CRC of an invalid copy fits, if any.
    pub other_size: Option<OtherSize>,
    /// The variables, read without regard to the CRC.
    pub variables: Result<Variables, Unreadable>,
    /// The padding after the end mark; `None` if the variables are not readable.
    pub padding: Option<Padding>,
}

impl CopyDiagnosis {
    pub(super) fn new(blocks: &mut EnvBlocks, copy: EnvCopy) -> Self {
        let format = blocks.place().format();
        let error = Env::parse(blocks.copy(copy), format).err();
        let other_size = error.and_then(|_| blocks.other_size(copy));
        let block = blocks.copy(copy);
        let read = read(block, format);
        Self {
            copy,
            lba: blocks.place().lba_of(copy),
            flags: match format {
                Format::Single => None,
                Format::Redundant => block.get(4).copied(),
            },
            error,
            other_size,
            padding: read
                .as_ref()
                .ok()
                .map(|(_, end)| Padding::examine(block, *end, format)),
            variables: read.map(|(variables, _)| variables),
        }
    }
}

/// Why a block has no readable variables. Offsets are in bytes from the start of the block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The block starts with the end mark.
    #[error("there are no variables: the first byte after the CRC is 0")]
    Empty,
    /// An entry is not `name=value`.
    #[error("the entry at offset {offset} is not name=value: \"{text}\"")]
    NotVariable {
        /// The entry's offset.
        offset: usize,
        /// Its start, escaped.
        text: String,
    },
    /// An entry contains control characters, or is not UTF-8.
    #[error("the entry at offset {offset} is not text: \"{text}\"")]
    NotText {
        /// The entry's offset.
        offset: usize,
        /// Its start, escaped.
        text: String,
    },
    /// The last entry runs to the end of the block.
    #[error(
        "the variables have no end mark: the entry at offset {offset} runs to the end of the block"
    )]
    NoEnd {
        /// The entry's offset.
        offset: usize,
    },
}

/// Returns the variables of a block whose CRC may be wrong, and the offset after the end mark.
fn read(block: &[u8], format: Format) -> Result<(Variables, usize), Unreadable> {
    let mut variables = Variables::new();
    let mut offset = format.data_offset();
    loop {
        let rest = block.get(offset..).unwrap_or_default();
        let entry = match rest.iter().position(|byte| *byte == 0) {
            Some(length) => &rest[..length],
            None => return Err(Unreadable::NoEnd { offset }),
        };
        if entry.is_empty() {
            break;
        }
        let text = || entry[..entry.len().min(40)].escape_ascii().to_string();
        let is_text = |text: &str| {
            text.chars()
                .all(|char| !char.is_control() || matches!(char, '\t' | '\n' | '\r'))
        };
        if !str::from_utf8(entry).is_ok_and(is_text) {
            return Err(Unreadable::NotText {
                offset,
                text: text(),
            });
        }
        match entry.iter().position(|byte| *byte == b'=') {
            None | Some(0) => {
                return Err(Unreadable::NotVariable {
                    offset,
                    text: text(),
                });
            }
            Some(at) => variables.set(&entry[..at], &entry[at + 1..]),
        };
        offset += entry.len() + 1;
    }
    if offset == format.data_offset() {
        return Err(Unreadable::Empty);
    }
    Ok((variables, offset + 1))
}

/// The bytes after the end mark: normally all 0xff or all 0x00.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padding {
    /// Runs of equal bytes: their offsets in the block, and the byte.
    pub runs: Vec<(Range<usize>, u8)>,
    /// Whether there are more runs than `runs` lists.
    pub is_truncated: bool,
    /// The byte, 0xff or 0x00, with which the stored CRC fits if the whole padding consists of it.
    /// The variables are then intact, and only the padding is damaged.
    pub original: Option<u8>,
}

impl Padding {
    /// The maximum number of runs that are listed.
    const MAX_RUNS: usize = 6;

    fn examine(block: &[u8], start: usize, format: Format) -> Self {
        let mut runs = Vec::new();
        let mut at = start;
        while at < block.len() && runs.len() < Self::MAX_RUNS {
            let byte = block[at];
            let length = block[at..].iter().take_while(|next| **next == byte).count();
            runs.push((at..at + length, byte));
            at += length;
        }
        let original = [0xff, 0x00].into_iter().find(|byte| {
            let mut block = block.to_vec();
            block[start..].fill(*byte);
            Env::parse(&block, format).is_ok()
        });
        Self {
            runs,
            is_truncated: at < block.len(),
            original,
        }
    }
}

/// Describes the padding and the possible damage.
impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.runs {
            [] => f.write_str("there is no padding")?,
            [(_, byte)] if !self.is_truncated => {
                write!(f, "the padding is {byte:#04x} throughout")?;
            }
            runs => {
                f.write_str("the padding is not uniform: ")?;
                for (number, (run, byte)) in runs.iter().enumerate() {
                    let separator = if number == 0 { "" } else { ", " };
                    write!(
                        f,
                        "{separator}{byte:#04x} in bytes {} to {}",
                        run.start,
                        run.end - 1
                    )?;
                }
                if self.is_truncated {
                    f.write_str(", and more")?;
                }
            }
        }
        match self.original {
            Some(byte) => write!(
                f,
                "; with {byte:#04x} throughout, the stored CRC fits: only the padding is damaged, and the variables are intact"
            ),
            None => f.write_str("; the variables or the stored CRC may be damaged too"),
        }
    }
}
