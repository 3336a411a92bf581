// SPDX-License-Identifier: MIT OR Apache-2.0

//! `raw_write`: copies a resource's data from the archive to the destination.

use std::io::Read;
use std::mem;

use little_loader_core::units::BLOCK_SIZE;

use super::error::{ApplyError, ResourceDataError};
use super::execution::Execution;
use super::hashing::Hashing;
use super::raw_target::RawTarget;
use crate::archive::read::Archive;
use crate::destination::aligned::AlignedBytes;
use crate::destination::storage::Storage;
use crate::firmware::model::{Firmware, Handler, Resource};
use crate::hex;

/// The number of bytes read from the archive and written at a time: several whole segments.
const PIECE: u64 = 1 << 20;

/// The first bytes of a delta update's data (RFC 3284, section 4.1).
const VCDIFF: [u8; 3] = [0xd6, 0xc3, 0xc4];

impl<S: Storage> Execution<'_, '_, S> {
    /// Writes a resource. The last piece is written only after the hash of all data has been
    /// checked.
    pub(super) fn raw_write<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        firmware: &Firmware,
        handler: &Handler,
        mut target: RawTarget<'_>,
    ) -> Result<(), ApplyError> {
        let name = || handler.resource.clone();
        let resource = firmware
            .resource(&handler.resource)
            .ok_or_else(|| ResourceDataError::Undeclared(name()))?;
        let expected = resource
            .hash
            .ok_or_else(|| ResourceDataError::NoHash(name()))?;
        let mut hashing = mem::take(&mut self.hashing);
        let result = self.copy(archive, handler, resource, expected, offset, &mut hashing);
        if result.is_err() {
            hashing.stop();
        }
        self.hashing = hashing;
        result
    }

    fn copy<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        handler: &Handler,
        resource: &Resource,
        expected: [u8; 32],
        offset: u64,
        hashing: &mut Hashing,
    ) -> Result<(), ApplyError> {
        let name = || handler.resource.clone();
        let mut hash = hashing.start(resource.data_length() > PIECE)?;
        // The destination offset of the piece that is being hashed.
        let mut last: Option<u64> = None;
        let mut spare = AlignedBytes::default();
        let mut read = 0;
        let offset = target.start();
        let mut position = offset;
        for (number, length) in resource.length.iter().enumerate() {
            let end = position
                .checked_add(*length)
                .ok_or_else(|| ResourceDataError::TooLong(name()))?;
            let is_hole = number % 2 == 1;
            while !is_hole && position < end {
                let part = (PIECE - position % PIECE).min(end - position);
                let mut piece = mem::take(&mut spare);
                piece.resize(part as usize);
                let found = archive.read(&mut piece)?;
                if read == 0 && is_delta(handler) && piece.starts_with(&VCDIFF) {
                    return Err(ResourceDataError::Delta(name()).into());
                }
                read += found as u64;
                if found < piece.len() {
                    return Err(self.wrong_length(handler, read, resource.data_length()));
                }
                hash.add(piece)?;
                if let Some(at) = last.replace(position) {
                    let piece = hash.hashed()?;
                    self.device.write(at, &piece)?;
                    self.report(piece.len() as u64);
                    spare = piece;
                }
                position += part;
            }
            position = end;
        }
        // Reading to the end makes the archive check its own checksum and sizes.
        let more = archive.read(&mut [0])? as u64;
        if more != 0 {
            return Err(self.wrong_length(handler, read + more, resource.data_length()));
        }
        let last = match last {
            Some(at) => Some((at, hash.hashed()?)),
            None => None,
        };
        let found = hash.finish()?;
        if found != expected {
            return Err(ResourceDataError::Hash {
                name: name(),
                found: hex::encode(&found),
                expected: hex::encode(&expected),
            }
            .into());
        }
        let ends_in_hole = resource.length.len().is_multiple_of(2);
        if let Some((at, mut piece)) = last {
            let length = piece.len();
            if !ends_in_hole && at + length as u64 == position {
                // Whole blocks need not be read from the disk first.
                piece.resize(length + padding(offset, position) as usize);
                piece[length..].fill(0);
                self.device.write(at, &piece)?;
                self.report(length as u64);
                return Ok(());
            }
            self.device.write(at, &piece)?;
            self.report(length as u64);
        }
        self.end_of_resource(offset, position, ends_in_hole)
    }

    /// Pads the last block with zeroes. After a trailing hole the last block is written, so that an
    /// image extends that far.
    fn end_of_resource(
        &mut self,
        mut target: RawTarget<'_>,
        end: u64,
        is_hole: bool,
    ) -> Result<(), ApplyError> {
        let mut zeroes = [0; BLOCK_SIZE as usize];
        let start = target.start();
        if is_hole && end > start {
            let length = BLOCK_SIZE.min(end - start);
            target.write(self.device, end - length, &mut zeroes[..length as usize])?;
        }
        let rest = padding(start, end);
        self.device.write(end, &zeroes[..rest as usize])?;
        Ok(())
    }

    fn wrong_length(&self, handler: &Handler, found: u64, expected: u64) -> ApplyError {
        ResourceDataError::Length {
            name: handler.resource.clone(),
            found,
            expected,
        }
        .into()
    }
}

/// Returns the number of bytes after data from `start` to `end` that fill its last block.
fn padding(start: u64, end: u64) -> u64 {
    (end - start).next_multiple_of(BLOCK_SIZE) - (end - start)
}

/// Whether the resource may be a delta update.
fn is_delta(handler: &Handler) -> bool {
    let mut options = handler.options.0.iter();
    options.any(|(name, _)| name.starts_with("delta-source-"))
}
