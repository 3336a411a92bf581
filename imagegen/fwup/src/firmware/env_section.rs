// SPDX-License-Identifier: MIT OR Apache-2.0

//! `uboot-environment` sections.

use little_loader_core::env::place::{EnvPlace, EnvPlaceError};
use little_loader_core::units::{BLOCK_SIZE, Bytes, Lba};

use super::integer;
use super::model::{Section, Value};

/// The maximum number of blocks in a copy: twice the loader's limit. An archive must not be able to
/// request unlimited memory.
const MOST_BLOCKS: i64 = 2048;
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
        found.map_or_else(|| "not set".to_owned(), |found| found.to_string())
    )]
    Number {
        /// The option.
        option: &'static str,
        /// Its value.
        found: Option<i64>,
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
            found,
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
