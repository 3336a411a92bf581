// SPDX-License-Identifier: MIT OR Apache-2.0

//! The numbers in the sections of partition tables.

use super::integer;
use super::model::{Section, Stage, Value};

/// The largest block number of a partition: fwup uses the next number for "not set".
pub(super) const MOST_OFFSET: i64 = u32::MAX as i64 - 1;
/// The largest length of a partition in blocks: fwup uses the next number for "not set".
pub(super) const MOST_COUNT: i64 = i32::MAX as i64 - 1;

/// Reads a number from 0 to `most`, which is below 2^32; `default` is its value if it is not set.
/// Returns `None` if only the device can resolve it.
///
/// # Errors
///
/// When it is not a number, out of range, or not set and without a default.
pub(super) fn number(
    section: &Section,
    name: &str,
    most: i64,
    default: Option<u32>,
    stage: Stage,
) -> Result<Option<u32>, String> {
    let value = match section.options.get(name) {
        Some(Value::Text(text)) if stage.defers(text) => return Ok(None),
        Some(Value::Text(text)) => integer::parse(text),
        Some(Value::Integer(value)) => Some(*value),
        Some(_) => None,
        None => {
            return match default {
                Some(default) => Ok(Some(default)),
                None => Err(format!("{name} must be set")),
            };
        }
    };
    value
        .filter(|value| (0..=most).contains(value))
        .and_then(|value| u32::try_from(value).ok())
        .map(Some)
        .ok_or_else(|| {
            let found = section.options.get(name).map(Value::to_string);
            format!(
                "{name} must be 0 to {most}, not '{}'",
                found.unwrap_or_default()
            )
        })
}

/// Reads the title of a section as its number, which is below `end`.
///
/// # Errors
///
/// When it is another text.
pub(super) fn title(section: &Section, what: &str, end: usize) -> Result<usize, String> {
    integer::unsigned(&section.title)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| *number < end)
        .ok_or_else(|| format!("{what}'s title must be its number, 0 to {}", end - 1))
}
