// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks for tests: an environment and bytes at any block, without checks.
//!
//! imagegen creates valid images; these may be as invalid as a test needs.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use little_loader_core::env::block::{Env, EnvError, EnvMut, Format, SetError};
use little_loader_core::units::BLOCK_SIZE;
use thiserror::Error;

/// The start of slot a's payload, in blocks.
pub const KERNEL_A: u64 = 2048;
/// The start of slot b's payload, in blocks.
pub const KERNEL_B: u64 = 65536;

/// The reason that a disk could not be created or read.
#[derive(Debug, Error)]
pub enum ScratchError {
    /// The image could not be written or read.
    #[error("cannot use the image")]
    Io(#[from] io::Error),
    /// The environment block is not valid, or too small to be one.
    #[error("environment at block {lba}")]
    Env {
        /// Its start, in blocks.
        lba: u64,
        /// The cause.
        source: EnvError,
    },
    /// A variable does not fit, or has an invalid name.
    #[error("{name}")]
    Set {
        /// The variable.
        name: String,
        /// The cause.
        source: SetError,
    },
}

/// The description of a disk to create.
#[derive(Clone, Debug)]
pub struct Scratch {
    blocks: u64,
    env_lba: u64,
    env_size: usize,
    variables: Vec<(String, String)>,
    has_env: bool,
    stored_crc: Option<u32>,
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Scratch {
    /// Describes a disk of 64 MiB with an empty environment of 128 KiB at block 16.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            blocks: (64 << 20) / BLOCK_SIZE,
            env_lba: 16,
            env_size: 128 << 10,
            variables: Vec::new(),
            has_env: true,
            stored_crc: None,
            pieces: Vec::new(),
        }
    }

    /// Like [`Scratch::empty`], with `kernel` in both slots, slot a active, and each slot's letter
    /// in its command line.
    #[must_use]
    pub fn bootable(kernel: &[u8]) -> Self {
        Self::empty()
            .set("nerves_fw_active", "a")
            .set("a.kernel_lba", KERNEL_A)
            .set("a.kernel_args", "test.slot=a")
            .set("b.kernel_lba", KERNEL_B)
            .set("b.kernel_args", "test.slot=b")
            .write(KERNEL_A, kernel)
            .write(KERNEL_B, kernel)
    }

    /// Sets the size in blocks of 512 bytes; data beyond it is cut off.
    #[must_use]
    pub fn blocks(self, blocks: u64) -> Self {
        Self { blocks, ..self }
    }

    /// Sets the first block of the environment, and its size in bytes.
    #[must_use]
    pub fn env_at(self, env_lba: u64, env_size: usize) -> Self {
        Self {
            env_lba,
            env_size,
            ..self
        }
    }

    /// Leaves zeroes in place of the environment.
    #[must_use]
    pub fn without_env(self) -> Self {
        Self {
            has_env: false,
            ..self
        }
    }

    /// Stores `crc` instead of the right CRC.
    #[must_use]
    pub fn stored_crc(self, crc: u32) -> Self {
        Self {
            stored_crc: Some(crc),
            ..self
        }
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        self = self.unset(name);
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Removes a variable from the environment.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.retain(|(present, _)| present != name);
        self
    }

    /// Puts `bytes` at block `lba`; they overwrite those of earlier calls.
    #[must_use]
    pub fn write(mut self, lba: u64, bytes: &[u8]) -> Self {
        self.pieces.push((lba, bytes.to_owned()));
        self
    }

    /// Returns the environment block as it will be on the disk.
    ///
    /// # Errors
    /// When the variables do not fit.
    pub fn env_block(&self) -> Result<Vec<u8>, ScratchError> {
        let mut block = vec![0; self.env_size];
        let bad = |source| ScratchError::Env {
            lba: self.env_lba,
            source,
        };
        let mut env = EnvMut::clear(&mut block, Format::Single).map_err(bad)?;
        for (name, value) in &self.variables {
            let failed = |source| ScratchError::Set {
                name: name.clone(),
                source,
            };
            env.set(name, value.as_bytes()).map_err(failed)?;
        }
        env.seal();
        if let Some(crc) = self.stored_crc {
            block[..4].copy_from_slice(&crc.to_le_bytes());
        }
        Ok(block)
    }

    /// Creates the image, sparse where nothing was written.
    ///
    /// # Errors
    /// When the variables do not fit, or the file cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), ScratchError> {
        let mut file = File::create(path)?;
        let mut put = |lba: u64, bytes: &[u8]| -> io::Result<()> {
            file.seek(SeekFrom::Start(lba * BLOCK_SIZE))?;
            file.write_all(bytes)
        };
        if self.has_env {
            put(self.env_lba, &self.env_block()?)?;
        }
        for (lba, bytes) in &self.pieces {
            put(*lba, bytes)?;
        }
        file.set_len(self.blocks * BLOCK_SIZE)?;
        Ok(())
    }
}

/// Reads a variable of the 128 KiB environment at block 16 of the image at `path`.
///
/// # Errors
/// When the image cannot be read or its environment is not valid.
pub fn variable(path: &Path, name: &str) -> Result<Option<String>, ScratchError> {
    let lba = 16;
    let mut block = vec![0; 128 << 10];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(lba * BLOCK_SIZE))?;
    file.read_exact(&mut block)?;
    let env =
        Env::parse(&block, Format::Single).map_err(|source| ScratchError::Env { lba, source })?;
    Ok(env
        .get(name)
        .map(|value| String::from_utf8_lossy(value).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_what_was_put_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        let scratch = Scratch::bootable(b"kernel")
            .set("b.kernel_lba", 7)
            .unset("a.kernel_args");
        scratch.create(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 64 << 20);
        assert_eq!(&bytes[2048 * 512..][..7], b"kernel\0");
        assert_eq!(
            variable(&path, "b.kernel_lba").unwrap().as_deref(),
            Some("7")
        );
        assert_eq!(variable(&path, "a.kernel_args").unwrap(), None);

        scratch.stored_crc(0x1234).create(&path).unwrap();
        let error = variable(&path, "b.kernel_lba").unwrap_err();
        let ScratchError::Env {
            lba: 16,
            source: EnvError::BadCrc { stored: 0x1234, .. },
        } = error
        else {
            panic!("{error}");
        };
    }
}
