// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encodes a `gpt` section for the disk: a protective master boot record, and two copies of the
//! table, each with a header and an array of entries (UEFI 2.10, chapter 5).

use little_loader_core::units::BLOCK_SIZE;

use crate::firmware::gpt::{Gpt, GptPartition, TABLE_BLOCKS};

/// The size of a block in bytes.
const BLOCK: usize = BLOCK_SIZE as usize;
/// The size of an entry in bytes, and the number of entries.
const GPT_ENTRY: usize = 128;
const GPT_ENTRIES: usize = 128;
/// The size of the array of entries in bytes.
const ARRAY: usize = GPT_ENTRY * GPT_ENTRIES;
/// The number of bytes in a header that its checksum covers.
const HEADER: usize = 92;
/// The blocks at the end of the disk that an expanding partition leaves free: the backup, and as in
/// fwup one more.
const TAIL: u64 = TABLE_BLOCKS + 1;

/// A GUID partition table for a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GptTables {
    /// The protective master boot record, for block 0.
    pub(super) protective: [u8; BLOCK],
    /// The primary header and then its array, for block 1 and the following.
    pub(super) primary: Vec<u8>,
    /// The backup array and then its header.
    pub(super) backup: Vec<u8>,
    /// The first block of the backup; it ends at the end of the disk.
    pub(super) backup_block: u64,
}

/// Returns the table for a disk of `disk` blocks, 0 if unknown. Without a size, or on a disk that is
/// too small, the table is for the smallest disk that has room for the partitions.
pub(super) fn gpt_tables(gpt: &Gpt<'_>, disk: u64) -> GptTables {
    let ends = gpt.partitions.iter().map(GptPartition::end);
    let least = ends.fold(TAIL, u64::max);
    let disk = if disk >= least + TABLE_BLOCKS {
        disk
    } else {
        least + TAIL
    };
    let mut array = vec![0; ARRAY];
    for partition in &gpt.partitions {
        // There are fewer partitions than entries.
        let place = &mut array[partition.number * GPT_ENTRY..][..GPT_ENTRY];
        encode_entry(partition, disk, place);
    }
    let header = |at, other, array_at| {
        let guid = gpt.guid.unwrap_or_default().0;
        encode_header(disk, [at, other, array_at], guid, crc32fast::hash(&array))
    };
    let backup_block = disk - TABLE_BLOCKS;
    let primary = header(1, disk - 1, 2);
    let backup = header(disk - 1, 1, backup_block);
    GptTables {
        protective: protective(disk),
        primary: [&primary[..], &array].concat(),
        backup: [&array[..], &backup].concat(),
        backup_block,
    }
}

/// Returns a master boot record with one partition of the whole disk, so that programs that do not
/// know GPT leave it alone.
fn protective(disk: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let blocks = u32::try_from(disk - 1).unwrap_or(u32::MAX);
    let entry = &mut block[446..462];
    entry[1..8].copy_from_slice(&[0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&1_u32.to_le_bytes());
    entry[12..16].copy_from_slice(&blocks.to_le_bytes());
    block[BLOCK - 2..].copy_from_slice(&[0x55, 0xaa]);
    block
}

fn encode_entry(partition: &GptPartition, disk: u64, place: &mut [u8]) {
    let start = u64::from(partition.start.unwrap_or(0));
    let mut end = partition.end();
    if partition.grows {
        // An entry cannot be empty.
        end = end.max(disk - TAIL).max(start + 1);
    }
    place[..16].copy_from_slice(&partition.kind.unwrap_or_default().0);
    place[16..32].copy_from_slice(&partition.guid.unwrap_or_default().0);
    let flags = partition.flags.unwrap_or(0);
    // The last block, not the first one after it.
    let numbers = [start, end.wrapping_sub(1), flags];
    for (number, place) in numbers.iter().zip(place[32..56].chunks_exact_mut(8)) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    for (unit, place) in partition.name.iter().zip(place[56..].chunks_exact_mut(2)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
}

/// Encodes a header. `blocks` are those of this header, of the other header, and of the array.
fn encode_header(disk: u64, blocks: [u64; 3], guid: [u8; 16], array_crc: u32) -> [u8; BLOCK] {
    let [at, other, array_at] = blocks;
    let mut header = [0; BLOCK];
    header[..8].copy_from_slice(b"EFI PART");
    let mut put = |offset: usize, bytes: &[u8]| {
        header[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    // Revision 1.0.
    put(8, &0x0001_0000_u32.to_le_bytes());
    put(12, &(HEADER as u32).to_le_bytes());
    put(24, &at.to_le_bytes());
    put(32, &other.to_le_bytes());
    // The first and the last block that partitions can use.
    put(40, &(TABLE_BLOCKS + 1).to_le_bytes());
    put(48, &(disk - TABLE_BLOCKS - 1).to_le_bytes());
    put(56, &guid);
    put(72, &array_at.to_le_bytes());
    put(80, &(GPT_ENTRIES as u32).to_le_bytes());
    put(84, &(GPT_ENTRY as u32).to_le_bytes());
    put(88, &array_crc.to_le_bytes());
    let crc = crc32fast::hash(&header[..HEADER]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpt(start: u32, blocks: u32, grows: bool) -> Gpt<'static> {
        Gpt {
            title: "x",
            guid: None,
            partitions: vec![GptPartition {
                number: 2,
                start: Some(start),
                blocks,
                grows,
                ..GptPartition::default()
            }],
        }
    }

    /// Returns the first and the last block of the partition, and the first block of the backup.
    fn extent(gpt: &Gpt<'_>, disk: u64) -> [u64; 3] {
        let tables = gpt_tables(gpt, disk);
        let number = |at: usize| {
            let entry = &tables.backup[2 * GPT_ENTRY..];
            u64::from_le_bytes(entry[at..at + 8].try_into().unwrap())
        };
        assert_eq!(tables.primary[BLOCK..], tables.backup[..ARRAY]);
        [number(32), number(40), tables.backup_block]
    }

    #[test]
    fn a_table_fits_the_disk_or_the_smallest_disk_for_its_partitions() {
        let fixed = gpt(100, 50, false);
        for (disk, backup) in [(0, 151), (150, 151), (182, 151), (183, 150), (1000, 967)] {
            assert_eq!(extent(&fixed, disk), [100, 149, backup], "{disk}");
        }
    }

    #[test]
    fn an_expanding_partition_leaves_one_block_before_the_backup() {
        let growing = gpt(100, 50, true);
        for (disk, last, backup) in [
            (0, 149, 151),
            (183, 149, 150),
            (184, 149, 151),
            (185, 150, 152),
            (1000, 965, 967),
            (1 << 33, (1 << 33) - 35, (1 << 33) - 33),
        ] {
            assert_eq!(extent(&growing, disk), [100, last, backup], "{disk}");
        }
        assert_eq!(extent(&gpt(100, 0, true), 0)[..2], [100, 100]);
    }

    #[test]
    fn the_protective_partition_of_a_huge_disk_is_as_large_as_it_can_be() {
        for (disk, blocks) in [(1000, 999), (1 << 32, u32::MAX), (1 << 40, u32::MAX)] {
            assert_eq!(protective(disk)[458..462], u32::to_le_bytes(blocks));
        }
    }
}
