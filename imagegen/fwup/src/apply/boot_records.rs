// SPDX-License-Identifier: MIT OR Apache-2.0

//! Encodes an `mbr` section as blocks for the disk: the master boot record, and an extended boot
//! record for each logical partition.

use super::osip_table::osip_table;
use crate::firmware::mbr::{BOOT_CODE, Mbr, PRIMARY, Partition};

/// The size of a block in bytes.
const BLOCK: usize = 512;
/// The offset of the partition entries in a record, in bytes.
const TABLE: usize = 446;
/// The size of a partition's entry in bytes.
const ENTRY: usize = 16;
/// The type of a link to the next boot record.
const LINK: u8 = 0x0f;

/// The geometry used to compute cylinders, heads and sectors (CHS).
const SECTORS: u32 = 63;
const HEADS: u32 = 255;
/// The first block that CHS cannot express, and the value used for it and all later blocks.
const CHS_END: u32 = SECTORS * HEADS * 1024;
const BEYOND_CHS: [u8; 3] = [0xfe, 0xff, 0xff];

/// A block of a partition table, and its number on the disk.
pub(super) type BootRecord = (u64, [u8; BLOCK]);

/// Returns the blocks to write. The master boot record is last, so that it never points to records
/// that are not written yet. `disk` is the disk's size in blocks, 0 if unknown.
///
/// # Errors
///
/// When partitions or boot records overlap.
pub(super) fn boot_records(mbr: &Mbr<'_>, disk: u64) -> Result<Vec<BootRecord>, String> {
    mbr.check_layout(disk)?;
    let entries = mbr
        .grown(disk)
        .map(|partition| partition.map_or_else(TableEntry::default, TableEntry::of));
    let logical: Vec<_> = mbr.boot_record_blocks().collect();
    let mut blocks = Vec::new();
    for (index, (number, at)) in (0_u32..).zip(&logical) {
        let entry = entries[*number];
        let mut record = empty_record();
        TableEntry {
            // The layout has been checked: a partition is after its record.
            start: entry.start - *at as u32,
            is_boot: false,
            ..entry
        }
        .encode(&mut record[TABLE..]);
        if index as usize + 1 < logical.len() {
            TableEntry {
                kind: LINK,
                start: index + 1,
                blocks: 1,
                ..TableEntry::default()
            }
            .encode(&mut record[TABLE + ENTRY..]);
        }
        blocks.push((*at, record));
    }
    blocks.reverse();
    blocks.push((0, master(mbr, &entries)));
    Ok(blocks)
}

fn master(mbr: &Mbr<'_>, entries: &[TableEntry]) -> [u8; BLOCK] {
    let mut master = empty_record();
    if let Some(code) = &mbr.boot_code {
        master[..BOOT_CODE].copy_from_slice(code);
    }
    if let Some(osip) = &mbr.osip {
        let table = osip_table(osip);
        master[..table.len()].copy_from_slice(&table);
    }
    if let Some(signature) = mbr.signature {
        master[BOOT_CODE..BOOT_CODE + 4].copy_from_slice(&signature.to_le_bytes());
    }
    let places = master[TABLE..].chunks_mut(ENTRY);
    for (entry, place) in entries.iter().take(PRIMARY).zip(places) {
        entry.encode(place);
    }
    master
}

fn empty_record() -> [u8; BLOCK] {
    let mut record = [0; BLOCK];
    record[BLOCK - 2..].copy_from_slice(&[0x55, 0xaa]);
    record
}

/// A partition's entry in a boot record.
#[derive(Clone, Copy, Debug, Default)]
struct TableEntry {
    kind: u8,
    start: u32,
    blocks: u32,
    is_boot: bool,
}

impl TableEntry {
    fn of(partition: Partition) -> Self {
        Self {
            kind: partition.kind,
            start: partition.start.unwrap_or(0),
            blocks: partition.blocks,
            is_boot: partition.is_boot,
        }
    }

    fn encode(self, entry: &mut [u8]) {
        if self.kind != 0 {
            entry[0] = if self.is_boot { 0x80 } else { 0 };
            entry[1..4].copy_from_slice(&chs(self.start));
            entry[4] = self.kind;
            // The last block of an empty partition at block 0 wraps.
            let end = u64::from(self.start) + u64::from(self.blocks);
            let last = u32::try_from(end.wrapping_sub(1)).unwrap_or(u32::MAX);
            entry[5..8].copy_from_slice(&chs(last));
        }
        entry[8..12].copy_from_slice(&self.start.to_le_bytes());
        entry[12..16].copy_from_slice(&self.blocks.to_le_bytes());
    }
}

/// Returns the head, the sector with the upper bits of the cylinder, and the lower bits of the
/// cylinder.
fn chs(block: u32) -> [u8; 3] {
    if block >= CHS_END {
        return BEYOND_CHS;
    }
    let (track, sector) = (block / SECTORS, block % SECTORS + 1);
    let (cylinder, head) = (track / HEADS, track % HEADS);
    // Each is below 256.
    [
        head as u8,
        (cylinder >> 8 << 6 | sector) as u8,
        cylinder as u8,
    ]
}

/// Returns the first block of each primary partition; `None` if `block` is not a master boot
/// record.
pub(super) fn primary_starts(block: &[u8; BLOCK]) -> Option<[u32; PRIMARY]> {
    if !block.ends_with(&[0x55, 0xaa]) {
        return None;
    }
    let entry = |number: usize| TABLE + number * ENTRY + 8;
    Some(std::array::from_fn(|number| {
        u32::from_le_bytes(std::array::from_fn(|byte| block[entry(number) + byte]))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::mbr::MOST;

    #[test]
    fn cylinders_heads_and_sectors_end_where_they_can_express_no_more() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(64), [1, 2, 0]);
        assert_eq!(chs(16383), [5, 4, 1]);
        assert_eq!(chs(CHS_END - 1), [254, 0xff, 0xff]);
        assert_eq!(chs(CHS_END), BEYOND_CHS);
    }

    fn mbr(partitions: &[Partition]) -> Mbr<'static> {
        let mut mbr = Mbr {
            title: "x",
            boot_code: None,
            osip: None,
            signature: None,
            partitions: [None; MOST],
        };
        for partition in partitions {
            mbr.partitions[partition.number] = Some(*partition);
        }
        mbr
    }

    #[test]
    fn an_extended_partition_grows_to_the_end_of_the_disk() {
        let extended = Partition {
            number: 3,
            kind: 0xf,
            start: Some(8),
            blocks: 1,
            ..Partition::default()
        };
        let logical = Partition {
            number: 4,
            kind: 1,
            start: Some(9),
            ..extended
        };
        let records = boot_records(&mbr(&[extended, logical]), 100).unwrap();
        let [(8, _), (0, master)] = records[..] else {
            panic!("{records:?}");
        };
        let entry = &master[TABLE + 3 * ENTRY..];
        assert_eq!(entry[8..12], 8_u32.to_le_bytes());
        assert_eq!(entry[12..16], 92_u32.to_le_bytes());
    }

    #[test]
    fn a_partition_expands_to_the_end_of_a_disk_that_is_larger() {
        let partition = Partition {
            kind: 131,
            start: Some(100),
            blocks: 50,
            expands: true,
            ..Partition::default()
        };
        let mbr = mbr(&[partition]);
        for (disk, expected) in [(0, 50), (150, 50), (1000, 900), (1 << 40, u32::MAX)] {
            let (_, block) = boot_records(&mbr, disk).unwrap()[0];
            assert_eq!(
                block[TABLE + 12..TABLE + 16],
                expected.to_le_bytes(),
                "{disk}"
            );
            // The end of a length that was cut is beyond CHS too.
            if disk > u64::from(u32::MAX) {
                assert_eq!(block[TABLE + 5..TABLE + 8], BEYOND_CHS);
            }
        }
    }
}
