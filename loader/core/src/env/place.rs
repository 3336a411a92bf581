// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the copies of an environment lie on the disk, and which of two is the active one.

use thiserror::Error;

use crate::env::block::Format;
use crate::units::{BLOCK_SIZE, Bytes, Count, Lba};

/// One copy of a redundant pair. A single copy is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvCopy {
    /// The one at the first LBA.
    First,
    /// The one at the redundant LBA.
    Second,
}

impl EnvCopy {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Which of two valid copies is the newer, by their flags bytes: the one that is ahead on the
/// circle of 256 values. The first one where they are equal or opposite.
#[must_use]
pub fn newer(first: u8, second: u8) -> EnvCopy {
    let ahead = second.wrapping_sub(first);
    if (1..128).contains(&ahead) {
        EnvCopy::Second
    } else {
        EnvCopy::First
    }
}

/// Chooses the active copy of a redundant pair, from the flags byte of each valid copy and the
/// error of each invalid one. Returns the active copy, and the other with its error where that
/// one is invalid.
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

/// Where an environment lies on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvPlace {
    /// The first block of the first copy, or of the only one.
    pub lba: Lba,
    /// The size of each copy: whole blocks, not 0.
    pub size: Bytes,
    /// The first block of the second copy of a redundant pair.
    pub redundant_lba: Option<Lba>,
}

impl EnvPlace {
    /// How each copy is laid out.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self.redundant_lba {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    /// The first block of a copy; that of the only copy where there is no second.
    #[must_use]
    pub fn lba_of(&self, copy: EnvCopy) -> Lba {
        match copy {
            EnvCopy::First => self.lba,
            EnvCopy::Second => self.redundant_lba.unwrap_or(self.lba),
        }
    }

    /// The size of all copies together.
    #[must_use]
    pub fn total_size(&self) -> Bytes {
        let copies = 1 + u64::from(self.redundant_lba.is_some());
        Bytes(self.size.0.saturating_mul(copies))
    }

    /// Checks that an environment can lie there.
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

/// Why an environment cannot lie at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnvPlaceError {
    /// The size is not a number of whole blocks.
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
        /// The blocks of each copy.
        blocks: Count,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// U-Boot's own rule (`env/common.c`, `env_import_redund`), which compares the plain numbers
    /// and knows one wrap.
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
