// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use fat_volume::{Error, Start, Storage as FatStorage};
use little_loader_core::units::BLOCK_SIZE;

use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;
use crate::destination::view::SharedDevice;
use crate::firmware::fat_action::VolumeOffset;

/// A destination as the disk of FAT file systems. Writes go through the destination's cache.
pub(super) struct FatDevice<'a, 'd, S>(pub(super) &'a SharedDevice<'d, S>);

impl<S: Storage> FatStorage for FatDevice<'_, '_, S> {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out).map_err(io_error)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data).map_err(io_error)
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.0.trim(offset, length).map_err(io_error)
    }
}

fn io_error(error: DeviceError) -> io::Error {
    io::Error::other(error)
}

/// Returns the start of a file system, by its offset in bytes.
pub(super) fn volume_start(volume: VolumeOffset) -> Result<Start, Error> {
    Start::from_blocks(volume / BLOCK_SIZE)
}
