// SPDX-License-Identifier: MIT OR Apache-2.0

//! The part of the destination that `raw_write` writes: the stage between a resource's data and the
//! device, where the data is encrypted.

use little_loader_core::units::BLOCK_SIZE;

use super::error::ApplyError;
use super::resource_copy::ResourceSink;
use crate::destination::aligned::AlignedBytes;
use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;
use crate::destination::view::SharedDevice;
use crate::disk_cipher::{CIPHER_BLOCK, DiskCipher};

/// The blocks of the destination from an offset on.
pub(super) struct RawTarget<'a, 'd, S> {
    device: &'a SharedDevice<'d, S>,
    /// In bytes.
    start: u64,
    encryption: Option<Encryption<'a>>,
}

/// Only whole blocks can be encrypted.
struct Encryption<'a> {
    cipher: &'a DiskCipher,
    /// The offset of a block that is not written yet, because more of its data may follow.
    open: Option<u64>,
    /// The bytes of the open block. The rest is zero.
    block: [u8; CIPHER_BLOCK],
}

impl<'a, 'd, S: Storage> RawTarget<'a, 'd, S> {
    /// Starts at the offset `start` in bytes, a multiple of the block size.
    pub(super) fn new(
        device: &'a SharedDevice<'d, S>,
        start: u64,
        cipher: Option<&'a DiskCipher>,
    ) -> Self {
        Self {
            device,
            start,
            encryption: cipher.map(|cipher| Encryption {
                cipher,
                open: None,
                block: [0; CIPHER_BLOCK],
            }),
        }
    }

    /// Writes data, which may be encrypted in place. The rest of a block that is encrypted only
    /// partly is zero.
    fn write_data(&mut self, at: u64, data: &mut [u8]) -> Result<(), DeviceError> {
        let device = self.device;
        let Some(encryption) = &mut self.encryption else {
            return device.write(at, data);
        };
        let (mut at, mut data) = (at, data);
        if encryption.open.is_some_and(|open| at - open >= BLOCK_SIZE) {
            encryption.close(device, self.start)?;
        }
        if !at.is_multiple_of(BLOCK_SIZE) {
            let rest = at.next_multiple_of(BLOCK_SIZE) - at;
            let (first, others) = data.split_at_mut(data.len().min(rest as usize));
            encryption.add(at, first);
            at += first.len() as u64;
            data = others;
            if at.is_multiple_of(BLOCK_SIZE) {
                encryption.close(device, self.start)?;
            }
        }
        let (blocks, rest) = data.as_chunks_mut::<CIPHER_BLOCK>();
        if !blocks.is_empty() {
            let first = (at - self.start) / BLOCK_SIZE;
            encryption.cipher.encrypt(first, blocks);
            device.write(at, blocks.as_flattened())?;
            at += blocks.as_flattened().len() as u64;
        }
        encryption.add(at, rest);
        Ok(())
    }

    /// Pads the last block with zeroes, at the end of the data.
    fn pad(&mut self, end: u64) -> Result<(), DeviceError> {
        if let Some(encryption) = &mut self.encryption {
            return encryption.close(self.device, self.start);
        }
        let zeroes = [0; CIPHER_BLOCK];
        self.device.write(end, &zeroes[..padding(end)])
    }
}

impl<S: Storage> ResourceSink for RawTarget<'_, '_, S> {
    fn start(&self) -> u64 {
        self.start
    }

    fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError> {
        Ok(self.write_data(at, piece)?)
    }

    /// Pads the last block with zeroes. After a trailing hole the last block is written, so that an
    /// image extends that far.
    fn finish(
        &mut self,
        last: Option<(u64, AlignedBytes)>,
        end: u64,
        ends_in_hole: bool,
    ) -> Result<(), ApplyError> {
        if let Some((at, mut piece)) = last {
            if self.encryption.is_none() && !ends_in_hole {
                // Whole blocks need not be read from the disk first.
                let length = piece.len();
                piece.resize(length + padding(end));
                piece[length..].fill(0);
                return Ok(self.device.write(at, &piece)?);
            }
            self.write_data(at, &mut piece)?;
        }
        if ends_in_hole && end > self.start {
            let mut zeroes = [0; CIPHER_BLOCK];
            let length = BLOCK_SIZE.min(end - self.start);
            self.write_data(end - length, &mut zeroes[..length as usize])?;
        }
        Ok(self.pad(end)?)
    }
}

/// Returns the number of bytes after `end` that fill its block. Resources start at blocks.
fn padding(end: u64) -> usize {
    // Below a block's size.
    (end.next_multiple_of(BLOCK_SIZE) - end) as usize
}

impl Encryption<'_> {
    /// Adds bytes that end in the open block, or opens theirs.
    fn add(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = *self.open.get_or_insert(at - at % BLOCK_SIZE);
        let from = (at - start) as usize;
        self.block[from..from + bytes.len()].copy_from_slice(bytes);
    }

    /// Encrypts and writes the open block, if there is one.
    fn close<S: Storage>(
        &mut self,
        device: &SharedDevice<'_, S>,
        first: u64,
    ) -> Result<(), DeviceError> {
        if let Some(at) = self.open.take() {
            let mut block = std::mem::replace(&mut self.block, [0; CIPHER_BLOCK]);
            let number = (at - first) / BLOCK_SIZE;
            self.cipher
                .encrypt(number, std::slice::from_mut(&mut block));
            device.write(at, &block)?;
        }
        Ok(())
    }
}
