// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the sectors of a volume, and a cache of one directory sector.

use crate::error::Error;
use crate::storage::{BLOCK, Block, Start, Storage};

/// A disk, seen from the start of a volume.
pub(crate) struct Sectors<'a> {
    pub(crate) disk: &'a mut dyn Storage,
    pub(crate) start: Start,
}

impl Sectors<'_> {
    pub(crate) fn read(&mut self, sector: u64) -> Result<Block, Error> {
        let mut block = [0; BLOCK];
        let offset = self.start.byte_of(sector);
        let done = self.disk.read_at(offset, &mut block);
        done.map_err(|source| Error::Disk { offset, source })?;
        Ok(block)
    }

    pub(crate) fn write(&mut self, sector: u64, data: &[u8]) -> Result<(), Error> {
        let offset = self.start.byte_of(sector);
        let done = self.disk.write_at(offset, data);
        done.map_err(|source| Error::Disk { offset, source })
    }

    /// Writes zeroes, up to 64 KiB at a time.
    pub(crate) fn zero(&mut self, sector: u64, count: u64) -> Result<(), Error> {
        static ZEROES: [u8; 128 * BLOCK] = [0; 128 * BLOCK];
        for at in (sector..sector + count).step_by(128) {
            let length = (sector + count - at).min(128) as usize * BLOCK;
            self.write(at, &ZEROES[..length])?;
        }
        Ok(())
    }
}

/// The sector that was used last, possibly dirty.
#[derive(Debug, Default)]
pub(crate) struct Window {
    sector: Option<u64>,
    block: Option<Box<Block>>,
    is_dirty: bool,
}

impl Window {
    /// Moves to a sector. A dirty one is written first.
    pub(crate) fn load(&mut self, disk: &mut Sectors, sector: u64) -> Result<&mut Block, Error> {
        if self.sector != Some(sector) {
            self.flush(disk)?;
            self.sector = None;
            self.block = Some(Box::new(disk.read(sector)?));
            self.sector = Some(sector);
        }
        Ok(self.block.get_or_insert_with(|| Box::new([0; BLOCK])))
    }

    /// Says that the block of the last [`Window::load`] was changed.
    pub(crate) fn touch(&mut self) {
        self.is_dirty = true;
    }

    pub(crate) fn flush(&mut self, disk: &mut Sectors) -> Result<(), Error> {
        if let (true, Some(sector), Some(block)) = (self.is_dirty, self.sector, &self.block) {
            disk.write(sector, &block[..])?;
            self.is_dirty = false;
        }
        Ok(())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Forgets the sector: the disk is about to change under it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
