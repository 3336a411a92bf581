// SPDX-License-Identifier: MIT OR Apache-2.0

//! `uboot-environment` sections.

use little_loader_core::env::place::{EnvPlace, EnvPlaceError};
use little_loader_core::units::{BLOCK_SIZE, Bytes, Lba};

use super::model::Section;

/// The maximum number of blocks in a copy: twice the loader's limit. An archive must not be able to
/// request unlimited memory.
const MOST_BLOCKS: i64 = 2048;
/// The largest offset in fwup is one less than the largest `int`, which means "not set".
const MOST_OFFSET: i64 = i32::MAX as i64 - 1;

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
    let number = |option, least, most| {
        let found = section.options.integer(option);
        found
            .filter(|number| (least..=most).contains(number))
            .map(|number| number as u64)
            .ok_or(EnvOptionError::Number {
                option,
                found,
                least,
                most,
            })
    };
    let first = number("block-offset", 0, MOST_OFFSET)?;
    // A negative number means "not set".
    let second = match section.options.integer("block-offset-redund") {
        None | Some(..0) => None,
        Some(_) => Some(number("block-offset-redund", 0, MOST_OFFSET)?),
    };
    let place = EnvPlace {
        lba: Lba(first),
        size: Bytes(number("block-count", 1, MOST_BLOCKS)? * BLOCK_SIZE),
        redundant_lba: second.map(Lba),
    };
    place.check()?;
    Ok(place)
}

/// Whether `name` can be the name of a variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
