// SPDX-License-Identifier: MIT OR Apache-2.0

//! The master boot record: four primary partitions in the first block.
//!
//! Source: UEFI Specification 2.10, section 5.2.1 (legacy MBR). Addresses are LBAs; the old
//! cylinder-head-sector fields have the value for addresses beyond their range.

/// The size of an MBR in bytes.
pub const SIZE: usize = 512;

/// The partition type for Linux file systems.
pub const LINUX: u8 = 0x83;

/// The disk's signature at offset 440, little-endian: a fixed number, so that
/// `root=PARTUUID=4c4c4452-01` names partition 1.
const DISK_SIGNATURE: u32 = 0x4c4c_4452;

/// The offset of the partition table in bytes.
const TABLE: usize = 446;

/// The size of a table entry in bytes.
const ENTRY: usize = 16;

/// The boot signature in the last two bytes.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Cylinder 1023, head 254, sector 63: the place is not addressable by cylinder, head and sector.
const NO_CHS: [u8; 3] = [0xfe, 0xff, 0xff];

/// A primary partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The partition type, such as [`LINUX`]; not 0, which marks a free entry.
    pub kind: u8,
    /// The first block of 512 bytes.
    pub start: u32,
    /// The number of blocks of 512 bytes.
    pub blocks: u32,
}

/// The partition table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mbr {
    /// The four entries.
    pub partitions: [Option<Partition>; 4],
}

impl Mbr {
    /// Returns the MBR as a block.
    #[must_use]
    pub fn encode(&self) -> [u8; SIZE] {
        let mut block = [0; SIZE];
        block[440..444].copy_from_slice(&DISK_SIGNATURE.to_le_bytes());
        for (partition, entry) in self.partitions.iter().zip(block[TABLE..].chunks_mut(ENTRY)) {
            if let Some(partition) = partition {
                entry[1..4].copy_from_slice(&NO_CHS);
                entry[4] = partition.kind;
                entry[5..8].copy_from_slice(&NO_CHS);
                entry[8..12].copy_from_slice(&partition.start.to_le_bytes());
                entry[12..16].copy_from_slice(&partition.blocks.to_le_bytes());
            }
        }
        block[SIZE - 2..].copy_from_slice(&SIGNATURE);
        block
    }

    /// Parses a block; returns `None` if it has no boot signature.
    #[must_use]
    pub fn parse(block: &[u8; SIZE]) -> Option<Self> {
        if !block.ends_with(&SIGNATURE) {
            return None;
        }
        let mut mbr = Self::default();
        for (partition, entry) in mbr.partitions.iter_mut().zip(block[TABLE..].chunks(ENTRY)) {
            let number =
                |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| entry[at + byte]));
            if entry[4] != 0 {
                *partition = Some(Partition {
                    kind: entry[4],
                    start: number(8),
                    blocks: number(12),
                });
            }
        }
        Some(mbr)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_reads_back(entries in proptest::collection::vec(proptest::option::of((1_u8.., any::<u32>(), any::<u32>())), 4)) {
            let mut mbr = Mbr::default();
            for (partition, entry) in mbr.partitions.iter_mut().zip(entries) {
                *partition = entry.map(|(kind, start, blocks)| Partition { kind, start, blocks });
            }
            prop_assert_eq!(Mbr::parse(&mbr.encode()), Some(mbr));
        }
    }

    #[test]
    fn a_block_without_signature_is_no_mbr() {
        assert_eq!(Mbr::parse(&[0; SIZE]), None);
    }
}
