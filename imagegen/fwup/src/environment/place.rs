// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where an environment is, and what it can hold: all that can be told before it is read.

use little_loader_core::env::block::{Format, SetError};
use little_loader_core::env::place::EnvCopy;

use super::super::device::{Device, Storage};
use super::super::language::integer::unsigned;
use super::super::model::Section;
use super::{BLOCK, EnvironmentError};

/// How many blocks a copy may have: twice what the loader takes, so that an archive cannot ask for any amount of memory.
pub(crate) const MOST_BLOCKS: u64 = 2048;
const COUNTS: &str = "a number from 1 to 2048";

/// Where an environment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    /// In blocks.
    pub(super) first: u64,
    pub(super) second: Option<u64>,
    /// In bytes.
    pub(super) size: usize,
}

impl Place {
    pub(super) fn of(section: &Section) -> Result<Self, EnvironmentError> {
        let option = |option, expected, most| {
            let text = section.option(option);
            match text.map(unsigned) {
                Some(Some(value)) if value < most => Ok(value),
                _ => Err(EnvironmentError::Option {
                    name: section.title.clone(),
                    option,
                    found: text.map_or_else(|| "not set".to_owned(), |text| format!("\"{text}\"")),
                    expected,
                }),
            }
        };
        let block = |name| option(name, "a block number below 2147483647", 0x7fff_ffff);
        let first = block("block-offset")?;
        let second = match section.option("block-offset-redund") {
            None => None,
            // As if it was not set.
            Some(text) if text.starts_with('-') => None,
            Some(_) => Some(block("block-offset-redund")?),
        };
        let count = option("block-count", COUNTS, MOST_BLOCKS + 1)?;
        if count == 0 {
            return Err(EnvironmentError::Option {
                name: section.title.clone(),
                option: "block-count",
                found: "0".to_owned(),
                expected: COUNTS,
            });
        }
        if second.is_some_and(|second| first.abs_diff(second) < count) {
            return Err(EnvironmentError::Overlap(section.title.clone()));
        }
        Ok(Self {
            name: section.title.clone(),
            first,
            second,
            // At most 1 MiB.
            size: (count * BLOCK) as usize,
        })
    }

    pub(super) fn format(&self) -> Format {
        match self.second {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    pub(super) fn block(&self, copy: EnvCopy) -> u64 {
        match copy {
            EnvCopy::First => self.first,
            EnvCopy::Second => self.second.unwrap_or(self.first),
        }
    }
}

/// Checks where a section says that the environment is.
///
/// # Errors
///
/// When it says nothing useful, or a place that the destination does not have.
pub(crate) fn check<S: Storage>(
    section: &Section,
    device: &Device<S>,
) -> Result<(), EnvironmentError> {
    let place = Place::of(section)?;
    for block in [Some(place.first), place.second].into_iter().flatten() {
        device.check_end(block * BLOCK, place.size as u64)?;
    }
    Ok(())
}

/// Checks what a variable is to be set to. There is no name that cannot be removed.
///
/// # Errors
///
/// When it can be in no environment.
pub(crate) fn check_variable(
    section: &Section,
    variable: &str,
    value: Option<&str>,
) -> Result<(), EnvironmentError> {
    can_hold(variable, value.map(str::as_bytes)).map_err(|error| EnvironmentError::Set {
        name: section.title.clone(),
        variable: variable.to_owned(),
        error,
    })
}

/// What an environment can hold.
pub(super) fn can_hold(variable: &str, value: Option<&[u8]>) -> Result<(), SetError> {
    match value {
        Some(_) if !is_name(variable.as_bytes()) => Err(SetError::BadName),
        Some(value) if value.contains(&0) => Err(SetError::BadValue),
        _ => Ok(()),
    }
}

/// Whether a variable can have this name.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'=' | 0))
}
