// SPDX-License-Identifier: MIT OR Apache-2.0

//! The location of the environment, built into the loader. Tools can read and change it in the ELF.
//!
//! The settings are the value of the ELF symbol [`SYMBOL`], [`ENCODED_SIZE`] bytes, all numbers
//! little-endian:
//!
//! | offset | bytes | meaning |
//! | --- | --- | --- |
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 8 | LBA of the environment, in blocks of 512 bytes |
//! | 16 | 8 | LBA of the redundant copy, or all ones if there is none |
//! | 24 | 4 | size of one copy, in bytes |
//! | 28 | 4 | size of the buffer that holds all copies, in bytes: fixed when the loader is built |

use thiserror::Error;

use crate::env::place::{EnvPlace, EnvPlaceError};
use crate::units::{Bytes, Count, Lba};

/// The name of the symbol in the loader's ELF.
pub const SYMBOL: &str = "LITTLE_LOADER_SETTINGS";

/// The first bytes of the encoded settings; the digit is incremented when the layout changes.
pub const MAGIC: [u8; 8] = *b"LLSETv1\0";

/// The size in bytes of the encoded settings.
pub const ENCODED_SIZE: usize = 32;

/// The maximum size of the buffer for all copies of the environment: it shares the first 2 MiB of
/// RAM with the loader.
pub const BUFFER_LIMIT: Bytes = Bytes(512 << 10);

/// The encoded redundant LBA if there is only one copy.
const NO_LBA: u64 = u64::MAX;

/// The location of the environment and the size of its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The location of the environment on the disk.
    pub env: EnvPlace,
    /// The size of the loader's environment buffer.
    pub buffer_size: Bytes,
}

impl Settings {
    /// Checks the location of the environment, and that all copies fit the buffer.
    ///
    /// # Errors
    ///
    /// Those of [`EnvPlace::check`], and [`SettingsError::Buffer`].
    pub fn check(&self) -> Result<(), SettingsError> {
        self.env.check()?;
        let needed = self.env.total_size();
        if needed > self.buffer_size {
            return Err(SettingsError::Buffer {
                needed: Count(needed.0),
                available: Count(self.buffer_size.0),
            });
        }
        Ok(())
    }

    /// Returns the bytes of the symbol. The settings must have passed [`check`](Self::check), and
    /// the buffer must be smaller than 4 GiB.
    #[must_use]
    pub const fn encode(&self) -> [u8; ENCODED_SIZE] {
        let redundant = match self.env.redundant_lba {
            Some(lba) => lba.0,
            None => NO_LBA,
        };
        let mut bytes = [0; ENCODED_SIZE];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &self.env.lba.0.to_le_bytes());
        put(&mut bytes, 16, &redundant.to_le_bytes());
        put(&mut bytes, 24, &(self.env.size.0 as u32).to_le_bytes());
        put(&mut bytes, 28, &(self.buffer_size.0 as u32).to_le_bytes());
        bytes
    }

    /// Decodes the bytes of the symbol.
    ///
    /// # Errors
    ///
    /// When the magic differs, or the settings fail [`check`](Self::check).
    pub fn decode(bytes: &[u8; ENCODED_SIZE]) -> Result<Self, SettingsError> {
        if bytes[..8] != MAGIC {
            return Err(SettingsError::Magic);
        }
        let redundant = u64::from_le_bytes(take(bytes, 16));
        let settings = Self {
            env: EnvPlace {
                lba: Lba(u64::from_le_bytes(take(bytes, 8))),
                size: Bytes(u32::from_le_bytes(take(bytes, 24)).into()),
                redundant_lba: (redundant != NO_LBA).then_some(Lba(redundant)),
            },
            buffer_size: Bytes(u32::from_le_bytes(take(bytes, 28)).into()),
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

/// A reason to reject the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The location of the environment is invalid.
    #[error(transparent)]
    Place(#[from] EnvPlaceError),
    /// The copies are larger than the buffer.
    #[error(
        "the environment needs a buffer of {needed} bytes for all its copies; the limit is {available}"
    )]
    Buffer {
        /// The size of all copies in bytes.
        needed: Count,
        /// The size of the buffer in bytes.
        available: Count,
    },
    /// The magic differs: the layout is that of another version.
    #[error("the settings do not start with the magic \"LLSETv1\": built by another version?")]
    Magic,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: EnvPlace = EnvPlace {
        lba: Lba(16),
        size: Bytes(131_072),
        redundant_lba: None,
    };
    const DEFAULT: Settings = Settings {
        env: PLACE,
        buffer_size: Bytes(131_072),
    };

    #[test]
    fn settings_survive_encoding() {
        let redundant = Settings {
            env: EnvPlace {
                redundant_lba: Some(Lba(272)),
                ..PLACE
            },
            buffer_size: Bytes(262_144),
        };
        for settings in [DEFAULT, redundant] {
            assert_eq!(Settings::decode(&settings.encode()), Ok(settings));
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |env, buffer_size| {
            let settings = Settings {
                env,
                buffer_size: Bytes(buffer_size),
            };
            settings.check().unwrap_err()
        };
        assert_eq!(
            refused(
                EnvPlace {
                    size: Bytes(1000),
                    ..PLACE
                },
                131_072
            ),
            EnvPlaceError::Size { size: Count(1000) }.into()
        );
        assert_eq!(
            refused(
                EnvPlace {
                    size: Bytes(0),
                    ..PLACE
                },
                131_072
            ),
            EnvPlaceError::Size { size: Count(0) }.into()
        );
        assert_eq!(
            refused(
                EnvPlace {
                    size: Bytes(262_144),
                    ..PLACE
                },
                131_072
            ),
            SettingsError::Buffer {
                needed: Count(262_144),
                available: Count(131_072)
            }
        );
        assert_eq!(
            refused(
                EnvPlace {
                    redundant_lba: Some(Lba(271)),
                    ..PLACE
                },
                262_144
            ),
            EnvPlaceError::Overlap {
                lba: Lba(16),
                redundant: Lba(271),
                blocks: Count(256)
            }
            .into()
        );
        assert_eq!(
            refused(
                EnvPlace {
                    lba: Lba(u64::MAX - 256),
                    ..PLACE
                },
                131_072
            ),
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
