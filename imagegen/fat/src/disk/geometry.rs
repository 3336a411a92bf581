// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the boot sector says about the volume.

use super::fields::{u16_at, u32_at};
use crate::storage::{BLOCK, Block};

/// The largest numbers of clusters. They are FatFs's, and larger than in Microsoft's document.
pub(crate) const MOST_FAT12: u32 = 0xff5;
pub(crate) const MOST_FAT16: u32 = 0xfff5;
pub(crate) const MOST_FAT32: u32 = 0x0fff_fff5;

const FEWEST_FAT16: u32 = MOST_FAT12 + 1;
const FEWEST_FAT32: u32 = MOST_FAT16 + 1;

/// The width of the entries of the file allocation table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Fat12,
    Fat16,
    Fat32,
}

/// The root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// FAT12 and FAT16: a fixed place.
    Fixed { sector: u64, entries: u32 },
    /// FAT32: a chain of clusters.
    Chain { first: u32 },
}

/// The places of a volume. Sectors are counted from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) width: Width,
    /// The boot sector: 0, or where a partition table in sector 0 says.
    pub(crate) boot: u64,
    pub(crate) table: u64,
    /// Sectors per copy of the table.
    pub(crate) table_sectors: u32,
    /// 1 or 2.
    pub(crate) tables: u32,
    pub(crate) root: Root,
    /// The first sector of cluster 2.
    pub(crate) data: u64,
    /// Sectors per cluster: a power of two, up to 128.
    pub(crate) cluster_sectors: u32,
    /// One more than the last cluster. Larger values in the table end a chain.
    pub(crate) clusters_end: u32,
    /// Whether FAT32's FSINFO is where it can be updated, in the sector after the boot sector.
    pub(crate) has_info: bool,
}

/// What a sector is that could be a boot sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fat,
    /// Not FAT, but with the signature that a partition table also has.
    Signed,
    Other,
}

pub(crate) fn kind(block: &Block) -> Kind {
    let is_signed = u16_at(block, 510) == 0xaa55;
    let jumps = matches!(block[0], 0xe8 | 0xe9 | 0xeb);
    let says_fat32 = is_signed && &block[82..90] == b"FAT32   ";
    // Old volumes have neither signature nor name.
    let is_plausible = usize::from(u16_at(block, 11)) == BLOCK
        && block[13].is_power_of_two()
        && u16_at(block, 14) != 0
        && matches!(block[16], 1 | 2)
        && u16_at(block, 17) != 0
        && (u16_at(block, 19) >= 128 || u32_at(block, 32) >= 0x1_0000)
        && u16_at(block, 22) != 0;
    match (jumps && (says_fat32 || is_plausible), is_signed) {
        (true, _) => Kind::Fat,
        (false, true) => Kind::Signed,
        (false, false) => Kind::Other,
    }
}

/// The first sectors of the four partitions in a sector that is [`Kind::Signed`].
pub(crate) fn partitions(block: &Block) -> impl Iterator<Item = u64> {
    let starts = [454, 470, 486, 502].map(|offset| u64::from(u32_at(block, offset)));
    starts.into_iter().filter(|&start| start != 0)
}

/// Reads a boot sector that is [`Kind::Fat`].
///
/// # Errors
///
/// The first field that is not as FAT requires.
pub(crate) fn geometry(block: &Block, boot: u64) -> Result<Geometry, &'static str> {
    if usize::from(u16_at(block, 11)) != BLOCK {
        return Err("its sectors do not have 512 bytes");
    }
    let table_sectors = match u16_at(block, 22) {
        0 => u32_at(block, 36),
        sectors => u32::from(sectors),
    };
    let tables = u32::from(block[16]);
    if !matches!(tables, 1 | 2) {
        return Err("it does not have one or two file allocation tables");
    }
    let cluster_sectors = u32::from(block[13]);
    if !cluster_sectors.is_power_of_two() {
        return Err("the cluster size is not a power of two");
    }
    let root_entries = u32::from(u16_at(block, 17));
    if root_entries % 16 != 0 {
        return Err("the root directory does not fill its sectors");
    }
    let sectors = match u16_at(block, 19) {
        0 => u32_at(block, 32),
        sectors => u32::from(sectors),
    };
    let reserved = u32::from(u16_at(block, 14));
    if reserved == 0 {
        return Err("the boot sector is not reserved");
    }
    let root_sector = u64::from(reserved) + u64::from(table_sectors) * u64::from(tables);
    let data = root_sector + u64::from(root_entries / 16);
    let data_sectors = u64::from(sectors).checked_sub(data);
    let clusters = data_sectors.map_or(0, |sectors| sectors / u64::from(cluster_sectors)) as u32;
    let width = match clusters {
        0 => return Err("it has no room for clusters"),
        1..=MOST_FAT12 => Width::Fat12,
        FEWEST_FAT16..=MOST_FAT16 => Width::Fat16,
        FEWEST_FAT32..=MOST_FAT32 => Width::Fat32,
        _ => return Err("it has too many clusters"),
    };
    let root = match (width, root_entries) {
        (Width::Fat32, 0) if u16_at(block, 42) == 0 => Root::Chain {
            first: u32_at(block, 44),
        },
        (Width::Fat32, _) => return Err("its version or its root directory is not FAT32's"),
        (_, 0) => return Err("it has no root directory"),
        (_, entries) => Root::Fixed {
            sector: boot + root_sector,
            entries,
        },
    };
    let clusters_end = clusters + 2;
    if table_sectors < table_length(width, clusters_end) {
        return Err("the file allocation table is too small for its clusters");
    }
    Ok(Geometry {
        width,
        boot,
        table: boot + u64::from(reserved),
        table_sectors,
        tables,
        root,
        data: boot + data,
        cluster_sectors,
        clusters_end,
        has_info: width == Width::Fat32 && u16_at(block, 48) == 1,
    })
}

/// The sectors that a table with so many entries takes.
fn table_length(width: Width, entries: u32) -> u32 {
    let bytes = match width {
        Width::Fat12 => (u64::from(entries) * 3).div_ceil(2),
        Width::Fat16 => u64::from(entries) * 2,
        Width::Fat32 => u64::from(entries) * 4,
    };
    bytes.div_ceil(BLOCK as u64) as u32
}

impl Geometry {
    pub(crate) fn is_fat32(&self) -> bool {
        self.width == Width::Fat32
    }

    /// Bytes per cluster.
    pub(crate) fn cluster_bytes(&self) -> u32 {
        self.cluster_sectors * BLOCK as u32
    }

    pub(crate) fn contains(&self, cluster: u32) -> bool {
        (2..self.clusters_end).contains(&cluster)
    }

    /// The first sector of a cluster; `None` outside of the volume.
    pub(crate) fn sector_of(&self, cluster: u32) -> Option<u64> {
        let index = u64::from(cluster.checked_sub(2)?);
        let sector = self.data + index * u64::from(self.cluster_sectors);
        self.contains(cluster).then_some(sector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_and_ones_are_not_fat() {
        for byte in [0, 0xff] {
            let block = [byte; BLOCK];
            assert_eq!(kind(&block), Kind::Other);
            geometry(&block, 0).unwrap_err();
        }
    }

    #[test]
    fn a_table_fills_whole_sectors() {
        assert_eq!(table_length(Width::Fat12, 341), 1);
        assert_eq!(table_length(Width::Fat12, 342), 2);
        assert_eq!(table_length(Width::Fat16, 256), 1);
        assert_eq!(table_length(Width::Fat32, 129), 2);
    }
}
