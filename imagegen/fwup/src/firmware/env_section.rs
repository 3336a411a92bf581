// SPDX-License-Identifier: MIT OR Apache-2.0

//! `uboot-environment` sections.

use little_loader_core::env::place::{EnvPlace, EnvPlaceError};
use little_loader_core::units::{BLOCK_SIZE, Bytes, Lba};

use super::integer;
use super::model::{Section, Value};

/// The maximum number of blocks in a copy, the same as fwup's.
const MOST_BLOCKS: i64 = 65_534;
/// The largest block number whose offset in bytes fits in a signed number of 64 bits.
const MOST_OFFSET: i64 = i64::MAX / BLOCK_SIZE as i64;

/// A `uboot-environment` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvSection<'a> {
    /// The title of the section.
    pub title: &'a str,
    /// The location of the environment on the destination.
    pub place: EnvPlace,
}

/// An error in a `uboot-environment` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("uboot-environment \"{title}\": {error}")]
pub struct EnvSectionError {
    title: String,
    /// The error, without the section's title.
    pub error: EnvOptionError,
}

/// An error in the options of a `uboot-environment` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvOptionError {
    /// An option is not set, or out of range.
    #[error(
        "{option} is {}, expected a number from {least} to {most}",
        found.as_deref().unwrap_or("not set")
    )]
    Number {
        /// The option.
        option: &'static str,
        /// Its value.
        found: Option<String>,
        /// The smallest value.
        least: i64,
        /// The largest value.
        most: i64,
    },
    /// An option is not the number of a block.
    #[error("{option} is '{found}', expected a number from 0 to {MOST_OFFSET}")]
    Offset {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
    },
    /// The environment cannot be at this location.
    #[error(transparent)]
    Place(#[from] EnvPlaceError),
}

impl<'a> EnvSection<'a> {
    pub(crate) fn parse(section: &'a Section) -> Result<Self, EnvSectionError> {
        let title = section.title.as_str();
        let place = place(section).map_err(|error| EnvSectionError {
            title: title.to_owned(),
            error,
        })?;
        Ok(Self { title, place })
    }

    /// Whether a block of the destination is in one of the copies.
    pub(crate) fn contains(&self, block: u64) -> bool {
        let blocks = self.place.size.blocks();
        self.starts()
            .any(|start| start <= block && block - start < blocks)
    }

    /// Whether both environments use the same block of the destination.
    pub(crate) fn overlaps(&self, other: &EnvSection<'_>) -> bool {
        self.starts().any(|start| other.contains(start))
            || other.starts().any(|start| self.contains(start))
    }

    /// The first block of each copy.
    fn starts(&self) -> impl Iterator<Item = u64> {
        let place = self.place;
        [Some(place.lba), place.redundant_lba]
            .into_iter()
            .flatten()
            .map(|lba| lba.0)
    }
}

fn place(section: &Section) -> Result<EnvPlace, EnvOptionError> {
    let first = offset(section, "block-offset")?;
    let first = first.ok_or(EnvOptionError::Number {
        option: "block-offset",
        found: None,
        least: 0,
        most: MOST_OFFSET,
    })?;
    // A negative number means "not set".
    let redundant = section.options.get("block-offset-redund");
    let redundant = redundant.and_then(|value| integer::parse(&value.to_string()));
    let second = match redundant {
        Some(..0) => None,
        _ => offset(section, "block-offset-redund")?,
    };
    let found = section.options.integer("block-count");
    let blocks = found
        .filter(|blocks| (1..=MOST_BLOCKS).contains(blocks))
        .ok_or(EnvOptionError::Number {
            option: "block-count",
            found: found.map(|number| number.to_string()),
            least: 1,
            most: MOST_BLOCKS,
        })?;
    let place = EnvPlace {
        lba: Lba(first),
        size: Bytes(blocks as u64 * BLOCK_SIZE),
        redundant_lba: second.map(Lba),
    };
    place.check()?;
    Ok(place)
}

/// Returns the block number in an option; `None` if it is not set. The option is a text, since fwup
/// keeps it as it is written; the model may have a number too.
fn offset(section: &Section, option: &'static str) -> Result<Option<u64>, EnvOptionError> {
    let text = section.options.get(option).map(Value::to_string);
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    integer::unsigned(&text)
        .filter(|blocks| *blocks <= MOST_OFFSET as u64)
        .map(Some)
        .ok_or(EnvOptionError::Offset {
            option,
            found: text,
        })
}

/// Whether `name` can be the name of a variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(first: u64, blocks: u64, second: Option<u64>) -> EnvSection<'static> {
        EnvSection {
            title: "",
            place: EnvPlace {
                lba: Lba(first),
                size: Bytes(blocks * BLOCK_SIZE),
                redundant_lba: second.map(Lba),
            },
        }
    }

    #[test]
    fn environments_overlap_if_they_share_a_block() {
        let pair = section(16, 8, Some(100));
        for (other, expected) in [
            (section(16, 8, None), true),
            (section(23, 1, None), true),
            (section(24, 76, None), false),
            (section(24, 77, None), true),
            (section(0, 16, None), false),
            (section(0, 17, None), true),
            (section(0, 1000, None), true),
            (section(200, 8, Some(107)), true),
            (section(200, 8, Some(108)), false),
        ] {
            assert_eq!(pair.overlaps(&other), expected, "{other:?}");
            assert_eq!(other.overlaps(&pair), expected, "{other:?}");
        }
    }
}
