// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layout of a new file system: the one that fwup makes.
//!
//! fwup always asks for clusters of one sector, so that even small boot partitions are FAT32, the
//! only kind that a Raspberry Pi boots from. The number of clusters then decides the width.

use super::fields::{put_u16, put_u32};
use super::geometry::{MOST_FAT12, MOST_FAT16, MOST_FAT32, Width};
use super::info::{self, Hints};
use crate::storage::{BLOCK, Block};
use crate::timestamp::Timestamp;

/// The copies of the file allocation table.
pub(crate) const TABLES: u32 = 2;
/// The sectors of the root directory of FAT12 and FAT16, with 512 entries.
const ROOT_SECTORS: u32 = 32;
/// The smallest volume in sectors.
const SMALLEST: u32 = 128;
/// A volume needs room for so many clusters.
const FEWEST_CLUSTERS: u32 = 16;

/// Where everything is, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) width: Width,
    sectors: u32,
    pub(crate) reserved: u32,
    /// Sectors per copy of the table.
    pub(crate) table_sectors: u32,
    /// The root directory: its fixed sectors, or its first cluster.
    pub(crate) root_sectors: u32,
}

impl Layout {
    /// Decides on the layout for a volume of so many sectors; `None` if there is none.
    pub(crate) fn choose(sectors: u32) -> Option<Self> {
        let table = |bytes: u64| bytes.div_ceil(BLOCK as u64) as u32;
        let count = u64::from(sectors);
        let small = |width, bytes| Self {
            width,
            sectors,
            reserved: 1,
            table_sectors: table(bytes),
            root_sectors: ROOT_SECTORS,
        };
        // The sizes of tables count each sector as a cluster, hence are a bit too large.
        let fat12 = small(Width::Fat12, (count * 3).div_ceil(2) + 3);
        let fat16 = small(Width::Fat16, count * 2 + 4);
        let fat32 = Self {
            width: Width::Fat32,
            sectors,
            reserved: 32,
            table_sectors: table(count * 4 + 8),
            root_sectors: 1,
        };
        let (layout, clusters) = match fat16.clusters() {
            _ if !(SMALLEST..=MOST_FAT32).contains(&sectors) => return None,
            _ if sectors <= MOST_FAT12 => (fat12, 0..=MOST_FAT12),
            Some(clusters) if clusters <= MOST_FAT16 => (fat16, MOST_FAT12 + 1..=MOST_FAT16),
            _ => (fat32, MOST_FAT16 + 1..=MOST_FAT32),
        };
        let found = layout.clusters()?;
        (found >= FEWEST_CLUSTERS && clusters.contains(&found)).then_some(layout)
    }

    /// The clusters, without FAT32's root directory being counted apart.
    fn clusters(&self) -> Option<u32> {
        let root = if self.width == Width::Fat32 {
            0
        } else {
            self.root_sectors
        };
        self.sectors
            .checked_sub(self.reserved + TABLES * self.table_sectors + root)
    }

    /// The boot sector. Its serial number depends on the size and the time.
    pub(crate) fn boot_sector(&self, time: Timestamp) -> Block {
        let mut block = [0; BLOCK];
        block[..11].copy_from_slice(b"\xeb\xfe\x90MSDOS5.0");
        put_u16(&mut block, 11, BLOCK as u16);
        block[13] = 1;
        put_u16(&mut block, 14, self.reserved as u16);
        block[16] = TABLES as u8;
        match u16::try_from(self.sectors) {
            Ok(sectors) => put_u16(&mut block, 19, sectors),
            Err(_) => put_u32(&mut block, 32, self.sectors),
        }
        // The medium is a fixed disk, with the geometry that is usual for large ones.
        block[21] = 0xf8;
        put_u16(&mut block, 24, 63);
        put_u16(&mut block, 26, 255);
        let extended = match self.width {
            Width::Fat12 | Width::Fat16 => {
                put_u16(&mut block, 17, (self.root_sectors * 16) as u16);
                put_u16(&mut block, 22, self.table_sectors as u16);
                36
            }
            Width::Fat32 => {
                put_u32(&mut block, 36, self.table_sectors);
                put_u32(&mut block, 44, 2);
                put_u16(&mut block, 48, 1);
                put_u16(&mut block, 50, 6);
                64
            }
        };
        block[extended] = 0x80;
        block[extended + 2] = 0x29;
        put_u32(
            &mut block,
            extended + 3,
            self.sectors.wrapping_add(time.bits()),
        );
        block[extended + 7..extended + 18].copy_from_slice(b"NO NAME    ");
        block[extended + 18..extended + 26].copy_from_slice(match self.width {
            Width::Fat12 => b"FAT12   ",
            Width::Fat16 => b"FAT16   ",
            Width::Fat32 => b"FAT32   ",
        });
        put_u16(&mut block, 510, 0xaa55);
        block
    }

    /// FAT32's FSINFO; the root directory takes one cluster.
    pub(crate) fn info_sector(&self) -> Option<Block> {
        let free = self.clusters()?.checked_sub(1)?;
        (self.width == Width::Fat32).then(|| info::encode(Hints { free, last: 2 }))
    }

    /// The first sector of a table.
    pub(crate) fn first_table_sector(&self) -> Block {
        let mut block = [0; BLOCK];
        let entries: &[u8] = match self.width {
            Width::Fat12 => &[0xf8, 0xff, 0xff],
            Width::Fat16 => &[0xf8, 0xff, 0xff, 0xff],
            Width::Fat32 => b"\xf8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x0f",
        };
        block[..entries.len()].copy_from_slice(entries);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn width(sectors: u32) -> Option<Width> {
        Layout::choose(sectors).map(|layout| layout.width)
    }

    #[test]
    fn the_size_decides_the_width() {
        assert_eq!(width(127), None);
        assert_eq!(width(128), Some(Width::Fat12));
        assert_eq!(width(4085), Some(Width::Fat12));
        assert_eq!(width(4086), None);
        assert_eq!(width(4152), None);
        assert_eq!(width(4153), Some(Width::Fat16));
        assert_eq!(width(66076), Some(Width::Fat16));
        assert_eq!(width(66077), None);
        assert_eq!(width(66599), None);
        assert_eq!(width(66600), Some(Width::Fat32));
        assert_eq!(width(MOST_FAT32), Some(Width::Fat32));
        assert_eq!(width(MOST_FAT32 + 1), None);
    }
}
