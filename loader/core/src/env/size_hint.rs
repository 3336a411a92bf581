// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guess for an environment whose checksum does not fit: the usual size, as a single copy or as
//! one of a redundant pair, for which it would.

use core::fmt;

use crate::display::Word;
use crate::env::block::Format;
use crate::env::checksum::{checksum, joined};
use crate::units::Count;

/// The smallest usual size in bytes. The others are powers of two.
const SMALLEST: usize = 4 << 10;

/// The largest usual size in bytes.
const LARGEST: usize = 512 << 10;

/// A layout and size that the checksum of an environment fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeHint {
    /// The layout.
    pub format: Format,
    /// The size of one copy in KiB.
    pub kib: u16,
}

impl SizeHint {
    /// Tries the usual sizes, as far as there are bytes: 4 KiB to 512 KiB. `bytes` are those on the
    /// disk from the start of the environment on; more of them than the assumed size make
    /// larger sizes possible.
    #[must_use]
    #[inline(never)]
    pub fn find(bytes: &[u8]) -> Option<Self> {
        let stored = u32::from_le_bytes(*bytes.first_chunk()?);
        for format in [Format::Single, Format::Redundant] {
            // Each size adds its last half to the checksum of the size before.
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

/// As the loader's settings for it, in the form of `imagegen loader --set`.
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

    /// An environment of this size, followed by other bytes of the disk.
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
