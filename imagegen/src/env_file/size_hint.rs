// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use little_loader_core::env::block::{Env, Format};
use little_loader_core::env::place::EnvPlace;
use little_loader_core::env::size_hint::SizeHint;
use little_loader_core::units::Bytes;

/// The number of bytes on the disk that are searched: the largest usual size of an environment.
pub(super) const SEARCHED: usize = 512 << 10;

/// A size and layout that the CRC of an invalid environment fits: nothing is damaged, but the
/// options are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherSize {
    /// The size of one copy.
    pub size: Bytes,
    /// The layout.
    pub format: Format,
    /// The layout according to the options.
    assumed: Format,
}

impl OtherSize {
    /// Tries the usual sizes in both layouts, and the given size in the other layout. `bytes` are
    /// the contents of the disk from the start of an invalid copy.
    pub(super) fn find(bytes: &[u8], place: &EnvPlace) -> Option<Self> {
        let assumed = place.format();
        let other = match assumed {
            Format::Single => Format::Redundant,
            Format::Redundant => Format::Single,
        };
        let is_other = usize::try_from(place.size.0)
            .ok()
            .and_then(|size| bytes.get(..size))
            .is_some_and(|block| Env::parse(block, other).is_ok());
        let (size, format) = if is_other {
            (place.size, other)
        } else {
            let hint = SizeHint::find(bytes)?;
            (Bytes(u64::from(hint.kib) << 10), hint.format)
        };
        Some(Self {
            size,
            format,
            assumed,
        })
    }
}

impl fmt::Display for OtherSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = match self.size.0 {
            bytes if bytes.is_multiple_of(1024) => format!("{}K", bytes >> 10),
            bytes => bytes.to_string(),
        };
        write!(f, "the CRC fits a size of {size}")?;
        match (self.format, self.assumed) {
            (Format::Single, Format::Single) => write!(f, ": --size {size}"),
            (Format::Single, Format::Redundant) => {
                write!(
                    f,
                    " as a single copy: --size {size} without --redundant-lba"
                )
            }
            (Format::Redundant, Format::Redundant) => write!(f, " for each copy: --size {size}"),
            (Format::Redundant, Format::Single) => write!(
                f,
                " as one copy of a redundant pair: --size {size} --redundant-lba BLOCK"
            ),
        }
    }
}

/// Formats the hint as the end of a message; empty without a hint.
pub(super) fn suffix(hint: Option<&OtherSize>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

#[cfg(test)]
mod tests {
    use little_loader_core::units::Lba;

    use super::*;
    use crate::variables::Variables;

    fn hint(size: usize, format: Format, place: EnvPlace) -> Option<String> {
        let mut variables = Variables::new();
        variables.set("nerves_fw_active", "a");
        let mut disk = variables.to_block(size, format, 3).unwrap();
        disk.resize(SEARCHED, 0x77);
        OtherSize::find(&disk, &place).map(|hint| hint.to_string())
    }

    #[test]
    fn the_options_are_named_that_make_the_environment_valid() {
        let single = EnvPlace {
            lba: Lba(16),
            size: Bytes(128 << 10),
            redundant_lba: None,
        };
        let pair = EnvPlace {
            redundant_lba: Some(Lba(2000)),
            ..single
        };
        for (size, format, place, expected) in [
            (
                64 << 10,
                Format::Single,
                single,
                "the CRC fits a size of 64K: --size 64K",
            ),
            (
                8 << 10,
                Format::Redundant,
                single,
                "the CRC fits a size of 8K as one copy of a redundant pair: --size 8K --redundant-lba BLOCK",
            ),
            (
                512 << 10,
                Format::Redundant,
                pair,
                "the CRC fits a size of 512K for each copy: --size 512K",
            ),
            (
                128 << 10,
                Format::Single,
                pair,
                "the CRC fits a size of 128K as a single copy: --size 128K without --redundant-lba",
            ),
        ] {
            assert_eq!(hint(size, format, place).as_deref(), Some(expected));
        }
        // An unusual size is tried in the other layout only if the options specify that size.
        let odd = EnvPlace {
            size: Bytes(1536),
            ..single
        };
        assert_eq!(
            hint(1536, Format::Redundant, odd).as_deref(),
            Some(
                "the CRC fits a size of 1536 as one copy of a redundant pair: --size 1536 --redundant-lba BLOCK"
            )
        );
        assert_eq!(hint(1536, Format::Redundant, single), None);
    }
}
