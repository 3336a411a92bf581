// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guesses the layout of an environment whose checksum is wrong: tries the usual sizes, as a single
//! copy and as one copy of a redundant pair.

use core::fmt;

use crate::display::Word;
use crate::env::block::Format;
use crate::env::checksum::{checksum, joined};
use crate::units::Count;

/// The smallest size to try in bytes. Each of the others is twice the one before.
const SMALLEST: usize = 4 << 10;

/// The largest size to try in bytes.
const LARGEST: usize = 512 << 10;

/// A layout and size for which the checksum of an environment is correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeHint {
    /// The layout.
    pub format: Format,
    /// The size of one copy in KiB.
    pub kib: u16,
}

impl SizeHint {
    /// Tries the usual sizes: the powers of two from 4 KiB to 512 KiB, as far as `bytes` reaches.
    /// `bytes` starts at the environment on the disk and may extend beyond its assumed size.
    #[must_use]
    #[inline(never)]
    pub fn find(bytes: &[u8]) -> Option<Self> {
        let stored = u32::from_le_bytes(*bytes.first_chunk()?);
        for format in [Format::Single, Format::Redundant] {
            // The checksum of each size is that of the size before, extended by the second half.
            let (mut crc, mut start, mut size) = (0, format.data_offset(), SMALLEST);
            while size <= LARGEST
                && let Some(part) = bytes.get(start..size)
            {
                crc = joined(crc, checksum(part), part.len());
                if crc == stored {
                    let kib = (size >> 10) as u16;
                    return Some(Self { format, kib });
                }
                (start, size) = (size, 2 * size);
            }
        }
        None
    }
}

/// Formats the hint as settings of the loader, in the syntax of `imagegen loader --set`.
impl fmt::Display for SizeHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redundant = match self.format {
            Format::Single => "none",
            Format::Redundant => "BLOCK",
        };
        let kib = Count(self.kib.into());
        write!(
            f,
            "the CRC fits env-size={kib}K env-redundant-lba={}",
            Word(redundant)
        )
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::env::block::{EnvMut, seal};

    /// Returns a disk of `total` bytes that starts with an environment of `size` bytes.
    fn disk(format: Format, size: usize, total: usize) -> Vec<u8> {
        let mut disk: Vec<u8> = (0..total).map(|at| (at * 7 % 251) as u8).collect();
        EnvMut::clear(&mut disk[..size], format)
            .unwrap()
            .set("nerves_fw_active", b"a")
            .unwrap();
        seal(&mut disk[..size], format);
        disk
    }

    #[test]
    fn each_usual_size_is_found_in_either_layout() {
        for format in [Format::Single, Format::Redundant] {
            for shift in 12..=19 {
                let size = 1 << shift;
                for total in [size, (2 * size).max(100_000), 700_000] {
                    let kib = (size >> 10) as u16;
                    let hint = SizeHint { format, kib };
                    assert_eq!(SizeHint::find(&disk(format, size, total)), Some(hint));
                }
            }
        }
    }

    #[test]
    fn other_sizes_and_damaged_environments_give_no_hint() {
        for size in [2048, 12_288, 1 << 20] {
            assert_eq!(SizeHint::find(&disk(Format::Single, size, 1 << 20)), None);
        }
        let mut damaged = disk(Format::Single, 65_536, 131_072);
        damaged[65_535] ^= 1;
        assert_eq!(SizeHint::find(&damaged), None);
        for too_short in [0, 3, 4, 5, 4095] {
            assert_eq!(SizeHint::find(&vec![0; too_short]), None);
        }
    }

    #[test]
    fn the_hint_names_the_settings() {
        let hint = |format, kib| SizeHint { format, kib }.to_string();
        assert_eq!(
            hint(Format::Single, 64),
            "the CRC fits env-size=64K env-redundant-lba=none"
        );
        assert_eq!(
            hint(Format::Redundant, 4),
            "the CRC fits env-size=4K env-redundant-lba=BLOCK"
        );
    }
}
