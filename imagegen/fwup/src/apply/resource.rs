// SPDX-License-Identifier: MIT OR Apache-2.0

//! A resource's data on its way from the archive to the destination.

use std::io::Read;

use super::super::archive::read::Archive;
use super::super::device::Storage;
use super::super::hex;
use super::super::model::{Firmware, Handler};
use super::hashing::Hashing;
use super::{ApplyError, BLOCK, Run};

/// How much is read before it is written, in bytes: as many segments as go to the disk together.
const PIECE: u64 = 1 << 20;

/// What a delta update's data starts with (RFC 3284, section 4.1).
const VCDIFF: [u8; 3] = [0xd6, 0xc3, 0xc4];

/// What is wrong with a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The archive does not have it.
    #[error("the archive has no resource \"{0}\", which the task needs")]
    Missing(String),
    /// There is no `file-resource`.
    #[error("meta.conf says nothing about the resource \"{0}\"")]
    Undeclared(String),
    /// There is no hash.
    #[error("meta.conf has no blake2b-256 for the resource \"{0}\"")]
    NoHash(String),
    /// Its data can be written only once.
    #[error("resource \"{0}\": raw_write more than once; the data is there only once")]
    ReadTwice(String),
    /// More or less data than declared.
    #[error(
        "resource \"{name}\" has {} bytes of data, expected {expected}",
        if found > expected { format!("more than {expected}") } else { found.to_string() }
    )]
    Length {
        /// Its name.
        name: String,
        /// What the archive has, up to one byte more than expected.
        found: u64,
        /// What `meta.conf` says.
        expected: u64,
    },
    /// Other data than declared.
    #[error("resource \"{name}\" is damaged: its BLAKE2b-256 is {found}, expected {expected}")]
    Hash {
        /// Its name.
        name: String,
        /// The hash of the data.
        found: String,
        /// What `meta.conf` says.
        expected: String,
    },
    /// The difference to another version.
    #[error("resource \"{0}\": delta updates are not supported yet")]
    Delta(String),
    /// Its holes cannot be.
    #[error("resource \"{0}\": its lengths add up to more than any disk has")]
    TooLong(String),
}

impl<S: Storage> Run<'_, '_, S> {
    /// Writes a resource. Its last piece is written when its hash was found to be right.
    pub(super) fn raw_write<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        firmware: &Firmware,
        handler: &Handler,
        offset: u64,
    ) -> Result<(), ApplyError> {
        let name = || handler.resource.clone();
        let resource = firmware
            .resource(&handler.resource)
            .ok_or_else(|| ResourceError::Undeclared(name()))?;
        let expected = resource.hash.ok_or_else(|| ResourceError::NoHash(name()))?;
        let hashing = Hashing::start();
        // Where the piece belongs that is being hashed.
        let mut last: Option<u64> = None;
        let mut spare = Vec::new();
        let mut read = 0;
        let mut position = offset;
        for (number, length) in resource.length.iter().enumerate() {
            let end = position
                .checked_add(*length)
                .ok_or_else(|| ResourceError::TooLong(name()))?;
            let is_hole = number % 2 == 1;
            while !is_hole && position < end {
                let part = (PIECE - position % PIECE).min(end - position);
                let mut piece = std::mem::take(&mut spare);
                piece.resize(part as usize, 0);
                let found = archive.read(&mut piece)?;
                if read == 0 && is_delta(handler) && piece.starts_with(&VCDIFF) {
                    return Err(ResourceError::Delta(name()).into());
                }
                read += found as u64;
                if found < piece.len() {
                    return Err(self.wrong_length(handler, read, resource.data_length()));
                }
                hashing.add(piece);
                if let Some(at) = last.replace(position) {
                    let piece = hashing.hashed();
                    self.device.write(at, &piece)?;
                    self.report(piece.len() as u64);
                    spare = piece;
                }
                position += part;
            }
            position = end;
        }
        // The end of the data is looked for, and with it what the archive says about it.
        let more = archive.read(&mut [0])? as u64;
        if more != 0 {
            return Err(self.wrong_length(handler, read + more, resource.data_length()));
        }
        let last = last.map(|at| (at, hashing.hashed()));
        let found = hashing.finish();
        if found != expected {
            return Err(ResourceError::Hash {
                name: name(),
                found: hex(&found),
                expected: hex(&expected),
            }
            .into());
        }
        if let Some((at, piece)) = last {
            self.device.write(at, &piece)?;
            self.report(piece.len() as u64);
        }
        self.end_of_resource(offset, position, resource.length.len().is_multiple_of(2))
    }

    /// Fills up the last block with zeroes; behind a hole the last block is written, so that an image reaches to there.
    fn end_of_resource(&mut self, start: u64, end: u64, is_hole: bool) -> Result<(), ApplyError> {
        let zeroes = [0; BLOCK as usize];
        if is_hole && end > start {
            let length = BLOCK.min(end - start);
            self.device
                .write(end - length, &zeroes[..length as usize])?;
        }
        let rest = (end - start).next_multiple_of(BLOCK) - (end - start);
        self.device.write(end, &zeroes[..rest as usize])?;
        Ok(())
    }

    fn wrong_length(&self, handler: &Handler, found: u64, expected: u64) -> ApplyError {
        ResourceError::Length {
            name: handler.resource.clone(),
            found,
            expected,
        }
        .into()
    }
}

/// Whether the resource may be the difference to what is on the destination.
fn is_delta(handler: &Handler) -> bool {
    let mut options = handler.options.iter();
    options.any(|(name, _)| name.starts_with("delta-source-"))
}
