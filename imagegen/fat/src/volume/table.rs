// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file allocation table, with a cache.

use std::collections::BTreeMap;

use super::window::Sectors;
use crate::disk::fields::{put_u16, put_u32, u16_at, u32_at};
use crate::disk::geometry::{Geometry, Width};
use crate::error::Error;
use crate::storage::{BLOCK, Block};

/// The most sectors in the cache: 1 MiB, the table of a file of 64 MiB in clusters of one sector.
const MOST: usize = 2048;
/// The most sectors per write.
const RUN: usize = 256;

/// What follows a cluster in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Free,
    Next(u32),
    End,
}

/// The value that [`Table::set`] stores for an end.
const END: u32 = 0xffff_ffff;

#[derive(Debug)]
struct Cached {
    block: Box<Block>,
    is_dirty: bool,
}

/// The sectors of the table that were used.
#[derive(Debug, Default)]
pub(crate) struct Table {
    sectors: BTreeMap<u32, Cached>,
    dirty: usize,
}

impl Table {
    /// # Errors
    ///
    /// [`Error::Damaged`] if the cluster is outside of the volume or its entry is 1.
    pub(crate) fn get(
        &mut self,
        disk: &mut Sectors,
        geometry: &Geometry,
        cluster: u32,
    ) -> Result<Link, Error> {
        if !geometry.contains(cluster) {
            let found = "a chain leads outside of the volume";
            return Err(Error::Damaged { found, cluster });
        }
        let value = match geometry.width {
            Width::Fat12 => {
                let offset = cluster + cluster / 2;
                let low = self.byte(disk, geometry, offset)?;
                let high = self.byte(disk, geometry, offset + 1)?;
                let both = u32::from(u16::from_le_bytes([low, high]));
                if cluster % 2 == 1 {
                    both >> 4
                } else {
                    both & 0xfff
                }
            }
            Width::Fat16 => {
                let block = self.load(disk, geometry, cluster / 256)?;
                u32::from(u16_at(&block.block[..], cluster as usize % 256 * 2))
            }
            Width::Fat32 => {
                let block = self.load(disk, geometry, cluster / 128)?;
                u32_at(&block.block[..], cluster as usize % 128 * 4) & 0x0fff_ffff
            }
        };
        match value {
            0 => Ok(Link::Free),
            1 => Err(Error::Damaged {
                found: "the table has an invalid entry",
                cluster,
            }),
            next if next < geometry.clusters_end => Ok(Link::Next(next)),
            _ => Ok(Link::End),
        }
    }

    /// Changes the entry of a cluster of the volume.
    pub(crate) fn set(
        &mut self,
        disk: &mut Sectors,
        geometry: &Geometry,
        cluster: u32,
        link: Link,
    ) -> Result<(), Error> {
        let value = match link {
            Link::Free => 0,
            Link::Next(next) => next,
            Link::End => END,
        };
        match geometry.width {
            Width::Fat12 => {
                let offset = cluster + cluster / 2;
                let (low_mask, high_mask, shift) = match cluster % 2 {
                    0 => (0xff, 0x0f, 0),
                    _ => (0xf0, 0xff, 4),
                };
                let [low, high, ..] = ((value & 0xfff) << shift).to_le_bytes();
                self.merge(disk, geometry, offset, low, low_mask)?;
                self.merge(disk, geometry, offset + 1, high, high_mask)?;
            }
            Width::Fat16 => {
                let block = self.load_dirty(disk, geometry, cluster / 256)?;
                put_u16(block, cluster as usize % 256 * 2, (value & 0xffff) as u16);
            }
            Width::Fat32 => {
                let block = self.load_dirty(disk, geometry, cluster / 128)?;
                let at = cluster as usize % 128 * 4;
                // The upper four bits are reserved, and kept.
                let kept = u32_at(block, at) & 0xf000_0000;
                put_u32(block, at, kept | value & 0x0fff_ffff);
            }
        }
        Ok(())
    }

    fn byte(&mut self, disk: &mut Sectors, geometry: &Geometry, at: u32) -> Result<u8, Error> {
        let cached = self.load(disk, geometry, at / BLOCK as u32)?;
        Ok(cached.block[at as usize % BLOCK])
    }

    fn merge(
        &mut self,
        disk: &mut Sectors,
        geometry: &Geometry,
        at: u32,
        bits: u8,
        mask: u8,
    ) -> Result<(), Error> {
        let block = self.load_dirty(disk, geometry, at / BLOCK as u32)?;
        let byte = &mut block[at as usize % BLOCK];
        *byte = *byte & !mask | bits & mask;
        Ok(())
    }

    fn load_dirty(
        &mut self,
        disk: &mut Sectors,
        geometry: &Geometry,
        sector: u32,
    ) -> Result<&mut Block, Error> {
        let was_dirty = self.load(disk, geometry, sector)?.is_dirty;
        self.dirty += usize::from(!was_dirty);
        let cached = self.load(disk, geometry, sector)?;
        cached.is_dirty = true;
        Ok(&mut cached.block)
    }

    fn load(
        &mut self,
        disk: &mut Sectors,
        geometry: &Geometry,
        sector: u32,
    ) -> Result<&mut Cached, Error> {
        if self.sectors.len() >= MOST && !self.sectors.contains_key(&sector) {
            self.flush(disk, geometry)?;
            self.sectors.clear();
        }
        match self.sectors.entry(sector) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let block = Box::new(disk.read(geometry.table + u64::from(sector))?);
                Ok(entry.insert(Cached {
                    block,
                    is_dirty: false,
                }))
            }
        }
    }

    /// Writes the dirty sectors: all of the first copy, and then all of the second, so that one
    /// copy is always whole.
    pub(crate) fn flush(&mut self, disk: &mut Sectors, geometry: &Geometry) -> Result<(), Error> {
        if self.dirty == 0 {
            return Ok(());
        }
        for copy in 0..geometry.tables {
            let start = geometry.table + u64::from(copy) * u64::from(geometry.table_sectors);
            let mut run = Vec::new();
            let mut run_start = 0;
            for (&sector, cached) in self.sectors.iter().filter(|(_, cached)| cached.is_dirty) {
                let follows = u64::from(sector) == run_start + (run.len() / BLOCK) as u64;
                if !run.is_empty() && (!follows || run.len() >= RUN * BLOCK) {
                    disk.write(start + run_start, &run)?;
                    run.clear();
                }
                if run.is_empty() {
                    run_start = u64::from(sector);
                }
                run.extend_from_slice(&cached.block[..]);
            }
            disk.write(start + run_start, &run)?;
        }
        self.sectors
            .values_mut()
            .for_each(|cached| cached.is_dirty = false);
        self.dirty = 0;
        Ok(())
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty > 0
    }

    /// Forgets all sectors, with their changes.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
