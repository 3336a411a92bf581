// SPDX-License-Identifier: MIT OR Apache-2.0

//! Directory entries with 13 units of a long name each.

use super::code_page::fold;
use super::segment::ShortName;
use crate::disk::entry::{Entry, LONG};

/// UTF-16 units per entry.
pub(crate) const UNITS: usize = 13;
/// The offsets of the units.
const OFFSETS: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Marks the first entry on the disk, which has the end of the name.
pub(crate) const FIRST: u8 = 0x40;
/// Fills the entry after the terminating zero.
const PADDING: u16 = 0xffff;

/// The entry with the part `number` (from 1) of the name.
pub(crate) fn encode(long: &[u16], number: u8, checksum: u8) -> Entry {
    let mut entry = [0; 32];
    let start = (usize::from(number) - 1) * UNITS;
    let end = long.len().min(start + UNITS);
    entry[0] = number
        | if long.len() <= start + UNITS {
            FIRST
        } else {
            0
        };
    entry[11] = LONG;
    entry[13] = checksum;
    for (position, offset) in OFFSETS.into_iter().enumerate() {
        let unit = match start + position {
            index if index < end => long[index],
            index if index == long.len() => 0,
            _ => PADDING,
        };
        entry[offset..offset + 2].copy_from_slice(&unit.to_le_bytes());
    }
    entry
}

/// Whether the entry has the part of the name that its number says, in any case.
pub(crate) fn matches(long: &[u16], entry: &Entry) -> bool {
    if entry[26..28] != [0, 0] {
        return false;
    }
    let Some(part) = usize::from(entry[0] & 0x3f).checked_sub(1) else {
        return false;
    };
    let mut index = part * UNITS;
    let mut is_over = false;
    for offset in OFFSETS {
        let unit = u16::from_le_bytes([entry[offset], entry[offset + 1]]);
        if is_over {
            if unit != PADDING {
                return false;
            }
            continue;
        }
        let expected = match index {
            _ if index < long.len() => long[index],
            _ if index == long.len() => 0,
            _ => return false,
        };
        if fold(unit) != fold(expected) {
            return false;
        }
        index += 1;
        is_over = unit == 0;
    }
    // The end of the name on the disk is the end of the name that is searched for.
    entry[0] & FIRST == 0 || is_over || index >= long.len()
}

/// The number of entries for a long name, without the short one.
pub(crate) fn count(long: &[u16]) -> u8 {
    // A name has at most 255 units, so 20 entries.
    long.len().div_ceil(UNITS) as u8
}

/// Follows a sequence of long entries up to its short entry.
#[derive(Default)]
pub(crate) struct Sequence {
    /// The index of the first entry, its checksum, and the number that comes next.
    state: Option<(u32, u8, u8)>,
}

impl Sequence {
    /// Takes the next long entry.
    pub(crate) fn push(&mut self, index: u32, entry: &Entry, long: &[u16]) {
        let mut number = entry[0];
        if number & FIRST != 0 {
            number &= !FIRST;
            self.state = Some((index, entry[13], number));
        }
        self.state = self.state.and_then(|(start, checksum, expected)| {
            let is_next = number == expected && number != 0 && entry[13] == checksum;
            (is_next && matches(long, entry)).then(|| (start, checksum, number - 1))
        });
    }

    /// The index of the first long entry, if all of them came and belong to this short name.
    pub(crate) fn complete(&self, short: &ShortName) -> Option<u32> {
        let (start, checksum, next) = self.state?;
        (next == 0 && checksum == super::segment::checksum(short)).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(name: &str) -> Vec<u16> {
        name.encode_utf16().collect()
    }

    #[test]
    fn parts_match_their_name_in_any_case() {
        for name in [
            "a",
            "thirteen.char",
            "fourteen.chars",
            "a-name-of-26-characters.xy",
        ] {
            let long = units(name);
            let upper = units(&name.to_uppercase());
            for number in 1..=count(&long) {
                let entry = encode(&long, number, 7);
                assert!(matches(&upper, &entry), "{name} {number}");
            }
            let last = encode(&long, count(&long), 7);
            assert!(!matches(&units(&format!("{name}x")), &last), "{name}");
            assert!(!matches(&long[..long.len() - 1], &last), "{name}");
        }
    }

    #[test]
    fn a_full_entry_has_no_terminator() {
        let entry = encode(&units("thirteen.char"), 1, 0);
        assert_eq!(entry[0], FIRST | 1);
        assert_eq!(entry[30..32], [b'r', 0]);
    }
}
