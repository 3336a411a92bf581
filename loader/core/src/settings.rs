// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the loader looks for the environment: built in, and readable and changeable in the built ELF.
//!
//! The settings are the value of the ELF symbol [`SYMBOL`], [`ENCODED_SIZE`] bytes, all numbers little-endian:
//!
//! | offset | bytes | meaning |
//! | --- | --- | --- |
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 8 | LBA of the environment, in blocks of 512 bytes |
//! | 16 | 8 | LBA of the redundant copy, all ones without one |
//! | 24 | 4 | size of one copy, in bytes |
//! | 28 | 4 | size of the buffer that holds all copies, in bytes: fixed when the loader is built |

use thiserror::Error;

use crate::env::place::{EnvPlace, EnvPlaceError};
use crate::units::{Bytes, Count, Lba};

/// The name of the symbol in the loader's ELF.
pub const SYMBOL: &str = "LITTLE_LOADER_SETTINGS";

/// The first bytes of the encoded settings; the digit counts up when the layout changes.
pub const MAGIC: [u8; 8] = *b"LLSETv1\0";

/// The size in bytes of the encoded settings.
pub const ENCODED_SIZE: usize = 32;

/// The most memory, in bytes, that all copies of the environment together may take: it lies beside the loader in the
/// first 2 MiB of RAM.
pub const BUFFER_LIMIT: u32 = 512 << 10;

/// The redundant LBA that means there is none.
const NO_LBA: u64 = u64::MAX;

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the environment starts, in blocks of 512 bytes.
    pub env_lba: u64,
    /// The size of one copy in bytes: a multiple of 512, not 0.
    pub env_size: u32,
    /// Where the redundant copy starts, in blocks of 512 bytes, if there is one.
    pub env_redundant_lba: Option<u64>,
    /// The size in bytes of the buffer that was built into the loader.
    pub buffer_size: u32,
}

impl Settings {
    /// Where the environment lies.
    #[must_use]
    pub fn place(&self) -> EnvPlace {
        EnvPlace {
            lba: Lba(self.env_lba),
            size: Bytes(self.env_size.into()),
            redundant_lba: self.env_redundant_lba.map(Lba),
        }
    }

    /// Checks that the settings can work.
    ///
    /// # Errors
    ///
    /// Those of [`EnvPlace::check`], and when the copies do not fit the buffer.
    pub fn check(&self) -> Result<(), SettingsError> {
        let place = self.place();
        place.check()?;
        let needed = place.total_size().0;
        if needed > self.buffer_size.into() {
            return Err(SettingsError::Buffer {
                needed: Count(needed),
                available: self.buffer_size.into(),
            });
        }
        Ok(())
    }

    /// The bytes of the symbol.
    #[must_use]
    pub const fn encode(&self) -> [u8; ENCODED_SIZE] {
        let redundant = match self.env_redundant_lba {
            Some(lba) => lba,
            None => NO_LBA,
        };
        let mut bytes = [0; ENCODED_SIZE];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &self.env_lba.to_le_bytes());
        put(&mut bytes, 16, &redundant.to_le_bytes());
        put(&mut bytes, 24, &self.env_size.to_le_bytes());
        put(&mut bytes, 28, &self.buffer_size.to_le_bytes());
        bytes
    }

    /// Reads the bytes of the symbol.
    ///
    /// # Errors
    ///
    /// When the magic is another, or the values fail [`check`](Self::check).
    pub fn decode(bytes: &[u8; ENCODED_SIZE]) -> Result<Self, SettingsError> {
        if bytes[..8] != MAGIC {
            return Err(SettingsError::Magic);
        }
        let redundant = u64::from_le_bytes(take(bytes, 16));
        let settings = Self {
            env_lba: u64::from_le_bytes(take(bytes, 8)),
            env_size: u32::from_le_bytes(take(bytes, 24)),
            env_redundant_lba: (redundant != NO_LBA).then_some(redundant),
            buffer_size: u32::from_le_bytes(take(bytes, 28)),
        };
        settings.check()?;
        Ok(settings)
    }
}

const fn put(bytes: &mut [u8; ENCODED_SIZE], offset: usize, value: &[u8]) {
    let mut at = 0;
    while at < value.len() {
        bytes[offset + at] = value[at];
        at += 1;
    }
}

fn take<const N: usize>(bytes: &[u8; ENCODED_SIZE], offset: usize) -> [u8; N] {
    core::array::from_fn(|at| bytes[offset + at])
}

/// Why settings cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The environment cannot lie there.
    #[error(transparent)]
    Place(#[from] EnvPlaceError),
    /// The copies are larger than the buffer.
    #[error(
        "the environment needs a buffer of {needed} bytes for all its copies; the limit is {available}"
    )]
    Buffer {
        /// The bytes that all copies need.
        needed: Count,
        /// The bytes that there are.
        available: Count,
    },
    /// These are not settings of this version.
    #[error("the settings do not start with the magic \"LLSETv1\": built by another version?")]
    Magic,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Settings = Settings {
        env_lba: 16,
        env_size: 131_072,
        env_redundant_lba: None,
        buffer_size: 131_072,
    };

    #[test]
    fn settings_survive_encoding() {
        let redundant = Settings {
            env_redundant_lba: Some(272),
            buffer_size: 262_144,
            ..DEFAULT
        };
        for settings in [DEFAULT, redundant] {
            assert_eq!(Settings::decode(&settings.encode()), Ok(settings));
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |settings: Settings| settings.check().unwrap_err();
        assert_eq!(
            refused(Settings {
                env_size: 1000,
                ..DEFAULT
            }),
            EnvPlaceError::Size { size: Count(1000) }.into()
        );
        assert_eq!(
            refused(Settings {
                env_size: 0,
                ..DEFAULT
            }),
            EnvPlaceError::Size { size: Count(0) }.into()
        );
        assert_eq!(
            refused(Settings {
                env_size: 262_144,
                ..DEFAULT
            }),
            SettingsError::Buffer {
                needed: Count(262_144),
                available: Count(131_072)
            }
        );
        assert_eq!(
            refused(Settings {
                env_redundant_lba: Some(271),
                buffer_size: 262_144,
                ..DEFAULT
            }),
            EnvPlaceError::Overlap {
                lba: Lba(16),
                redundant: Lba(271),
                blocks: Count(256)
            }
            .into()
        );
        assert_eq!(
            refused(Settings {
                env_lba: u64::MAX - 256,
                ..DEFAULT
            }),
            EnvPlaceError::Lba {
                lba: Lba(u64::MAX - 256)
            }
            .into()
        );
        let mut foreign = DEFAULT.encode();
        foreign[5] = b'9';
        assert_eq!(Settings::decode(&foreign), Err(SettingsError::Magic));
    }
}
