// SPDX-License-Identifier: MIT OR Apache-2.0

//! `uboot-environment` sections.

use little_loader_core::env::place::{EnvPlace, EnvPlaceError};
use little_loader_core::units::{BLOCK_SIZE, Bytes, Lba};

use super::integer;
use super::model::{Section, Value};

/// The maximum number of blocks in a copy, the same as fwup's.
const MOST_BLOCKS: i64 = 65_534;
/// The largest offset in blocks: its bytes can be counted in 63 bits.
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
    let number = |option, least, most| {
        let found = section.options.get(option);
        found
            .and_then(whole)
            .filter(|number| (least..=most).contains(number))
            .map(|number| number as u64)
            .ok_or_else(|| EnvOptionError::Number {
                option,
                found: found.map(Value::to_string),
                least,
                most,
            })
    };
    let first = number("block-offset", 0, MOST_OFFSET)?;
    // A negative number means "not set".
    let second = match section.options.get("block-offset-redund") {
        Some(found) if whole(found).is_none_or(|number| number >= 0) => {
            Some(number("block-offset-redund", 0, MOST_OFFSET)?)
        }
        _ => None,
    };
    let place = EnvPlace {
        lba: Lba(first),
        size: Bytes(number("block-count", 1, MOST_BLOCKS)? * BLOCK_SIZE),
        redundant_lba: second.map(Lba),
    };
    place.check()?;
    Ok(place)
}

/// Returns a number. Offsets are texts in `meta.conf`, as they can exceed 31 bits.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => integer::parse(text),
        _ => None,
    }
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
