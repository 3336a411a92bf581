// SPDX-License-Identifier: MIT OR Apache-2.0

//! `raw_write`: copies a resource's data from the archive to the destination.

use std::io::Read;

use little_loader_core::units::BLOCK_SIZE;

use super::error::{ApplyError, ResourceDataError};
use super::execution::Execution;
use super::hashing::Hashing;
use super::raw_target::RawTarget;
use crate::archive::read::Archive;
use crate::destination::storage::Storage;
use crate::firmware::model::{Firmware, Handler};
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
        let hashing = Hashing::start();
        // The destination offset of the piece that is being hashed.
        let mut last: Option<u64> = None;
        let mut spare = Vec::new();
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
                let mut piece = std::mem::take(&mut spare);
                piece.resize(part as usize, 0);
                let found = archive.read(&mut piece)?;
                if read == 0 && is_delta(handler) && piece.starts_with(&VCDIFF) {
                    return Err(ResourceDataError::Delta(name()).into());
                }
                read += found as u64;
                if found < piece.len() {
                    return Err(self.wrong_length(handler, read, resource.data_length()));
                }
                hashing.add(piece);
                if let Some(at) = last.replace(position) {
                    let mut piece = hashing.hashed();
                    target.write(self.device, at, &mut piece)?;
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
        let last = last.map(|at| (at, hashing.hashed()));
        let found = hashing.finish();
        if found != expected {
            return Err(ResourceDataError::Hash {
                name: name(),
                found: hex::encode(&found),
                expected: hex::encode(&expected),
            }
            .into());
        }
        if let Some((at, mut piece)) = last {
            target.write(self.device, at, &mut piece)?;
            self.report(piece.len() as u64);
        }
        self.end_of_resource(target, position, resource.length.len().is_multiple_of(2))
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
        target.finish(self.device, end)?;
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

/// Whether the resource may be a delta update.
fn is_delta(handler: &Handler) -> bool {
    let mut options = handler.options.0.iter();
    options.any(|(name, _)| name.starts_with("delta-source-"))
}
