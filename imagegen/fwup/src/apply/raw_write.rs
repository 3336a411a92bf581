// SPDX-License-Identifier: MIT OR Apache-2.0

//! `raw_write`: copies a resource's data from the archive to the destination. The other actions that
//! write a resource read its data here too.

use std::io::Read;

use little_loader_core::units::BLOCK_SIZE;

use super::error::{ApplyError, ResourceDataError};
use super::execution::Execution;
use super::hashing::Hashing;
use crate::archive::read::Archive;
use crate::destination::storage::Storage;
use crate::firmware::model::{Firmware, Handler, Resource};
use crate::hex;

/// The number of bytes read from the archive and written at a time: several whole segments.
const PIECE: u64 = 1 << 20;

/// The first bytes of a delta update's data (RFC 3284, section 4.1).
const VCDIFF: [u8; 3] = [0xd6, 0xc3, 0xc4];

/// Writes data at an offset, for an execution `E`.
type WriteAt<'w, E> = dyn FnMut(&mut E, u64, &[u8]) -> Result<(), ApplyError> + 'w;

impl<S: Storage> Execution<'_, '_, S> {
    /// Writes a resource to the destination.
    pub(super) fn raw_write<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        firmware: &Firmware,
        handler: &Handler,
        offset: u64,
    ) -> Result<(), ApplyError> {
        let resource = checked_resource(firmware, handler)?;
        let mut write = |this: &mut Self, at, piece: &[u8]| Ok(this.device.write(at, piece)?);
        let end = self.resource_data(archive, resource, handler, offset, &mut write)?;
        self.end_of_resource(offset, end, resource.length.len().is_multiple_of(2))
    }

    /// Calls `write` with the data of a resource, in order, and where it belongs if the resource
    /// starts at `offset`. The last piece is written only after the hash of all data has been
    /// checked. Returns the end of the resource, with its holes.
    pub(super) fn resource_data<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        resource: &Resource,
        handler: &Handler,
        offset: u64,
        write: &mut WriteAt<'_, Self>,
    ) -> Result<u64, ApplyError> {
        let name = || handler.resource.clone();
        let expected = resource
            .hash
            .ok_or_else(|| ResourceDataError::NoHash(name()))?;
        let hashing = Hashing::start()?;
        // The offset of the piece that is being hashed.
        let mut last: Option<u64> = None;
        let mut spare = Vec::new();
        let mut read = 0;
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
                    return Err(wrong_length(handler, read, resource.data_length()));
                }
                hashing.add(piece)?;
                if let Some(at) = last.replace(position) {
                    let piece = hashing.hashed()?;
                    write(self, at, &piece)?;
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
            return Err(wrong_length(handler, read + more, resource.data_length()));
        }
        let last = match last {
            Some(at) => Some((at, hashing.hashed()?)),
            None => None,
        };
        let found = hashing.finish()?;
        if found != expected {
            return Err(ResourceDataError::Hash {
                name: name(),
                found: hex::encode(&found),
                expected: hex::encode(&expected),
            }
            .into());
        }
        if let Some((at, piece)) = last {
            write(self, at, &piece)?;
            self.report(piece.len() as u64);
        }
        Ok(position)
    }

    /// Pads the last block with zeroes. After a trailing hole the last block is written, so that an
    /// image extends that far.
    fn end_of_resource(&mut self, start: u64, end: u64, is_hole: bool) -> Result<(), ApplyError> {
        let zeroes = [0; BLOCK_SIZE as usize];
        if is_hole && end > start {
            let length = BLOCK_SIZE.min(end - start);
            self.device
                .write(end - length, &zeroes[..length as usize])?;
        }
        let rest = (end - start).next_multiple_of(BLOCK_SIZE) - (end - start);
        self.device.write(end, &zeroes[..rest as usize])?;
        Ok(())
    }
}

/// Returns the resource that an `on-resource` section handles.
pub(super) fn checked_resource<'f>(
    firmware: &'f Firmware,
    handler: &Handler,
) -> Result<&'f Resource, ResourceDataError> {
    firmware
        .resource(&handler.resource)
        .ok_or_else(|| ResourceDataError::Undeclared(handler.resource.clone()))
}

fn wrong_length(handler: &Handler, found: u64, expected: u64) -> ApplyError {
    ResourceDataError::Length {
        name: handler.resource.clone(),
        found,
        expected,
    }
    .into()
}

/// Whether the resource may be a delta update.
fn is_delta(handler: &Handler) -> bool {
    let mut options = handler.options.0.iter();
    options.any(|(name, _)| name.starts_with("delta-source-"))
}
