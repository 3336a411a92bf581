// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guests that a command line names.

use anyhow::{Result, bail};

use crate::identity;
use crate::model::Status;

/// Parses a guest's number, host name or serial number.
pub(super) fn guest(text: &str) -> Result<u32, String> {
    identity::parse(text).ok_or_else(|| {
        "not a guest: its number, as 7, its host name or its serial number".to_owned()
    })
}

/// Parses guests: one, or a range of numbers such as `3-9`.
pub(super) fn guests(text: &str) -> Result<Guests, String> {
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.parse(), last.parse())
    {
        return if (1..=last).contains(&first) {
            Ok(Guests { first, last })
        } else {
            Err("not a range of guests such as 3-9".to_owned())
        };
    }
    guest(text).map(|id| Guests {
        first: id,
        last: id,
    })
}

/// A range of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guests {
    first: u32,
    last: u32,
}

/// Returns the numbers in `ranges`, each once.
pub(super) fn numbers(ranges: &[Guests]) -> Vec<u32> {
    let mut ids: Vec<u32> = ranges
        .iter()
        .flat_map(|range| range.first..=range.last)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Checks that guest `id` exists.
pub(super) fn check(id: u32, status: &Status) -> Result<()> {
    if !status.guests.iter().any(|guest| guest.id == id) {
        bail!(
            "there is no guest {id}: the fleet has {}",
            status.guests.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_ranges() {
        let parse = |text: &str| guests(text).map(|range| numbers(&[range]));
        assert_eq!(parse("3"), Ok(vec![3]));
        assert_eq!(parse("3-5"), Ok(vec![3, 4, 5]));
        assert_eq!(parse("guest-00004"), Ok(vec![4]));
        for bad in ["5-3", "0-3", "x", "3-", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let ranges = [guests("4-5").unwrap(), guests("LL00000004").unwrap()];
        assert_eq!(numbers(&ranges), [4, 5]);
    }
}
