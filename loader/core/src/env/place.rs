// SPDX-License-Identifier: MIT OR Apache-2.0

//! The places of an environment's copies on the disk, and the choice of the active one.

use thiserror::Error;

use crate::env::block::Format;
use crate::units::{BLOCK_SIZE, Bytes, Count, Lba};

/// A copy of an environment. A single copy is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvCopy {
    /// The copy at [`EnvPlace::lba`].
    First,
    /// The copy at [`EnvPlace::redundant_lba`].
    Second,
}

impl EnvCopy {
    /// Returns the other copy.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Returns the newer of two valid copies by their flags bytes: the one that is ahead, counted
/// modulo 256, or the first if they are equal or 128 apart.
#[must_use]
pub fn newer(first: u8, second: u8) -> EnvCopy {
    let ahead = second.wrapping_sub(first);
    if (1..128).contains(&ahead) {
        EnvCopy::Second
    } else {
        EnvCopy::First
    }
}

/// Chooses the active copy of a redundant pair from the flags byte of each valid copy and the error
/// of each invalid one. Returns the active copy, and the other copy with its error if that one is
/// invalid.
///
/// # Errors
///
/// When neither copy is valid: both errors.
#[expect(
    clippy::type_complexity,
    reason = "a copy, and another with its error; a type for it would have no second use"
)]
pub fn active_copy<E>(
    first: Result<u8, E>,
    second: Result<u8, E>,
) -> Result<(EnvCopy, Option<(EnvCopy, E)>), (E, E)> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((newer(first, second), None)),
        (Ok(_), Err(error)) => Ok((EnvCopy::First, Some((EnvCopy::Second, error)))),
        (Err(error), Ok(_)) => Ok((EnvCopy::Second, Some((EnvCopy::First, error)))),
        (Err(first), Err(second)) => Err((first, second)),
    }
}

/// The place of an environment on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvPlace {
    /// The first block of the first copy, or of the only one.
    pub lba: Lba,
    /// The size of each copy: a multiple of 512 bytes, not 0.
    pub size: Bytes,
    /// The first block of the second copy of a redundant pair.
    pub redundant_lba: Option<Lba>,
}

impl EnvPlace {
    /// Returns the layout of each copy.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self.redundant_lba {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    /// Returns the first block of a copy; that of the only copy if there is no second.
    #[must_use]
    pub fn lba_of(&self, copy: EnvCopy) -> Lba {
        match copy {
            EnvCopy::First => self.lba,
            EnvCopy::Second => self.redundant_lba.unwrap_or(self.lba),
        }
    }

    /// Returns the size of all copies together.
    #[must_use]
    pub fn total_size(&self) -> Bytes {
        let copies = 1 + u64::from(self.redundant_lba.is_some());
        Bytes(self.size.0.saturating_mul(copies))
    }

    /// Checks that an environment can be stored at this place.
    ///
    /// # Errors
    ///
    /// When the size is 0 or not a multiple of 512 bytes, a copy ends past the largest block
    /// number, or the copies overlap.
    pub fn check(&self) -> Result<(), EnvPlaceError> {
        if self.size.0 == 0 || !self.size.0.is_multiple_of(BLOCK_SIZE) {
            let size = Count(self.size.0);
            return Err(EnvPlaceError::Size { size });
        }
        let blocks = self.size.blocks();
        for lba in [Some(self.lba), self.redundant_lba].into_iter().flatten() {
            if lba.after(self.size).is_none_or(|end| end == Lba(u64::MAX)) {
                return Err(EnvPlaceError::Lba { lba });
            }
        }
        match self.redundant_lba {
            Some(redundant) if self.lba.0.abs_diff(redundant.0) < blocks => {
                Err(EnvPlaceError::Overlap {
                    lba: self.lba,
                    redundant,
                    blocks: Count(blocks),
                })
            }
            _ => Ok(()),
        }
    }
}

/// Why an environment cannot be stored at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnvPlaceError {
    /// The size is 0 or not a multiple of 512 bytes.
    #[error("the environment's size is {size} bytes; it must be a multiple of 512, and not 0")]
    Size {
        /// The size in bytes.
        size: Count,
    },
    /// The block number is too large.
    #[error("the environment at block {lba} would end past the largest block number")]
    Lba {
        /// The block number.
        lba: Lba,
    },
    /// The two copies share blocks.
    #[error(
        "the copies of the environment at blocks {lba} and {redundant} overlap: each has {blocks} blocks of 512 bytes"
    )]
    Overlap {
        /// The first copy's block number.
        lba: Lba,
        /// The second copy's block number.
        redundant: Lba,
        /// The number of blocks of each copy.
        blocks: Count,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U-Boot's rule (`env/common.c`, `env_import_redund`), which compares the numbers directly and
    /// handles only the wrap from 255 to 0.
    fn u_boot_newer(first: u8, second: u8) -> EnvCopy {
        match (first, second) {
            (255, 0) => EnvCopy::Second,
            (0, 255) => EnvCopy::First,
            (first, second) if second > first => EnvCopy::Second,
            _ => EnvCopy::First,
        }
    }

    #[test]
    fn the_newer_copy_is_the_one_u_boot_takes_a_step_apart() {
        for flags in 0..=255_u8 {
            for (first, second) in [
                (flags, flags.wrapping_add(1)),
                (flags.wrapping_add(1), flags),
                (flags, flags),
            ] {
                assert_eq!(
                    newer(first, second),
                    u_boot_newer(first, second),
                    "{first} {second}"
                );
            }
        }
    }

    #[test]
    fn an_invalid_copy_is_passed_over_with_its_error() {
        let first = Ok::<u8, &str>(7);
        assert_eq!(active_copy(first, Ok(8)), Ok((EnvCopy::Second, None)));
        assert_eq!(
            active_copy(first, Err("torn")),
            Ok((EnvCopy::First, Some((EnvCopy::Second, "torn"))))
        );
        assert_eq!(
            active_copy(Err("torn"), first),
            Ok((EnvCopy::Second, Some((EnvCopy::First, "torn"))))
        );
        assert_eq!(
            active_copy::<&str>(Err("torn"), Err("unread")),
            Err(("torn", "unread"))
        );
    }
}
