// SPDX-License-Identifier: MIT OR Apache-2.0

//! The part of the destination that `raw_write` writes: the stage between a resource's data and the
//! device, where the data is encrypted.

use little_loader_core::units::BLOCK_SIZE;

use crate::destination::device::Device;
use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;
use crate::disk_cipher::{CIPHER_BLOCK, DiskCipher};

/// The blocks of the destination from an offset on.
pub(super) struct RawTarget<'a> {
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

impl<'a> RawTarget<'a> {
    /// Starts at the offset `start` in bytes, a multiple of the block size.
    pub(super) fn new(start: u64, cipher: Option<&'a DiskCipher>) -> Self {
        Self {
            start,
            encryption: cipher.map(|cipher| Encryption {
                cipher,
                open: None,
                block: [0; CIPHER_BLOCK],
            }),
        }
    }

    /// Returns the offset of the first block in bytes.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Writes data at the offset `at`, which is not before the end of the last piece, and may encrypt
    /// it in place. The rest of a block that is encrypted only partly is zero.
    pub(super) fn write<S: Storage>(
        &mut self,
        device: &mut Device<S>,
        at: u64,
        data: &mut [u8],
    ) -> Result<(), DeviceError> {
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
    pub(super) fn finish<S: Storage>(
        mut self,
        device: &mut Device<S>,
        end: u64,
    ) -> Result<(), DeviceError> {
        if let Some(encryption) = &mut self.encryption {
            return encryption.close(device, self.start);
        }
        let zeroes = [0; CIPHER_BLOCK];
        let rest = end.next_multiple_of(BLOCK_SIZE) - end;
        device.write(end, &zeroes[..rest as usize])
    }
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
    fn close<S: Storage>(&mut self, device: &mut Device<S>, first: u64) -> Result<(), DeviceError> {
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
