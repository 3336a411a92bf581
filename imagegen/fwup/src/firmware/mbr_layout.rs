// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the partitions of an `mbr` section and their boot records are on a disk.
//!
//! An extended partition grows to the end of the disk, like one with `expand`. The boot records of
//! the logical partitions are in consecutive blocks at its start.

use std::fmt::{self, Display};

use super::mbr::{EXTENDED, MOST, Mbr, PRIMARY, Partition};

impl Mbr<'_> {
    /// Returns the partitions with their final lengths on a disk of `disk` blocks, 0 if unknown.
    pub(crate) fn grown(&self, disk: u64) -> [Option<Partition>; MOST] {
        // A disk is at least as large as its partitions.
        let ends = self.partitions.iter().flatten().map(Partition::end);
        let disk = ends.fold(disk, u64::max);
        self.partitions
            .map(|partition| partition.map(|partition| partition.grown(disk)))
    }

    /// Returns the numbers of the logical partitions and the blocks of their boot records.
    pub(crate) fn boot_record_blocks(&self) -> impl Iterator<Item = (usize, u64)> {
        let first = self.used(EXTENDED).and_then(|partition| partition.start);
        let blocks = first.into_iter().flat_map(|first| u64::from(first)..);
        (PRIMARY..MOST)
            .take_while(|number| self.used(*number).is_some())
            .zip(blocks)
    }

    /// Checks that no two partitions overlap, that no partition contains a boot record, and that
    /// each logical partition is after its own, on a disk of `disk` blocks, 0 if unknown.
    ///
    /// # Errors
    ///
    /// The first conflict.
    pub(crate) fn check_layout(&self, disk: u64) -> Result<(), String> {
        let grown = self.grown(disk);
        let used: Vec<_> = grown
            .iter()
            .flatten()
            .filter(|partition| partition.kind != 0)
            .collect();
        for (at, partition) in used.iter().enumerate() {
            let number = partition.number;
            if partition.is_extended() && number != EXTENDED {
                return Err(format!(
                    "partition {number} has the type of an extended partition, which only partition 3 may have"
                ));
            }
            for other in &used[at + 1..] {
                // The extended partition contains the logical ones.
                if !partition.is_extended() && partition.overlaps(other) {
                    return Err(conflict(partition, other));
                }
            }
        }
        for (record_of, block) in self.boot_record_blocks() {
            for partition in used.iter().filter(|partition| !partition.is_extended()) {
                let number = partition.number;
                let is_before = partition
                    .start
                    .is_some_and(|start| u64::from(start) <= block);
                if number == record_of && is_before {
                    return Err(format!(
                        "partition {number} must start after its EBR at {block}"
                    ));
                }
                if is_before && partition.end() > block {
                    return Err(format!(
                        "partition {partition} overlaps the EBR at {block} for partition {record_of}"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn conflict(partition: &Partition, other: &Partition) -> String {
    let (number, other_number) = (partition.number, other.number);
    if partition.expands && other.start > partition.start {
        return format!(
            "partition {other_number} follows partition {number}, which expands; only the last one may"
        );
    }
    let reason = if other.is_extended() {
        "; the extended partition reaches to the end of the disk"
    } else {
        ""
    };
    format!("partitions {partition} and {other} overlap{reason}")
}

/// Formats a partition as fwup does: the second block is the first one after the partition.
impl Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.start.unwrap_or(0);
        write!(f, "{} (blocks {start} to {})", self.number, self.end())
    }
}

impl Partition {
    /// Returns the first block after the partition.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.start.unwrap_or(0)) + u64::from(self.blocks)
    }

    /// Returns the partition with its final length on a disk of `disk` blocks. A length that does
    /// not fit in 32 bits is cut.
    fn grown(self, disk: u64) -> Self {
        let grows = self.expands || self.is_extended();
        match (self.start, grows && disk > self.end()) {
            (Some(start), true) => Self {
                blocks: u32::try_from(disk - u64::from(start)).unwrap_or(u32::MAX),
                ..self
            },
            _ => self,
        }
    }

    /// Whether both partitions contain a block.
    fn overlaps(&self, other: &Self) -> bool {
        let are_known = self.start.is_some() && other.start.is_some();
        let are_used = self.blocks > 0 && other.blocks > 0;
        let start = |one: &Self| u64::from(one.start.unwrap_or(0));
        are_known && are_used && self.end() > start(other) && other.end() > start(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a table with these partitions: numbers, types, starts and lengths.
    fn table(partitions: &[(usize, u8, u32, u32)]) -> Mbr<'static> {
        let mut mbr = Mbr {
            title: "x",
            boot_code: None,
            osip: None,
            signature: None,
            partitions: [None; MOST],
        };
        for &(number, kind, start, blocks) in partitions {
            mbr.partitions[number] = Some(Partition {
                number,
                kind,
                start: Some(start),
                blocks,
                ..Partition::default()
            });
        }
        mbr
    }

    #[test]
    fn conflicts_are_named() {
        let extended = (3, 0xf, 1000, 1);
        for (partitions, expected) in [
            (
                &[extended, (4, 0x83, 2000, 5000), (5, 0x83, 4000, 1000)][..],
                "partitions 4 (blocks 2000 to 7000) and 5 (blocks 4000 to 5000) overlap",
            ),
            (
                &[(0, 1, 900, 200), extended, (4, 1, 2000, 1)],
                "partitions 0 (blocks 900 to 1100) and 3 (blocks 1000 to 2001) overlap; the extended partition reaches to the end of the disk",
            ),
            (
                &[(0, 1, 5000, 200), extended],
                "partitions 0 (blocks 5000 to 5200) and 3 (blocks 1000 to 5200) overlap; the extended partition reaches to the end of the disk",
            ),
            (
                &[extended, (4, 1, 1001, 9), (5, 1, 2000, 1)],
                "partition 4 (blocks 1001 to 1010) overlaps the EBR at 1001 for partition 5",
            ),
            (
                &[extended, (4, 1, 1000, 9)],
                "partition 4 must start after its EBR at 1000",
            ),
            (
                &[extended, (4, 1, 900, 50)],
                "partition 4 must start after its EBR at 1000",
            ),
            (
                &[(2, 5, 1000, 1)],
                "partition 2 has the type of an extended partition, which only partition 3 may have",
            ),
        ] {
            assert_eq!(table(partitions).check_layout(0).unwrap_err(), expected);
        }
        for partitions in [
            &[extended][..],
            &[extended, (4, 1, 1002, 9), (5, 1, 2000, 1)],
            &[(0, 1, 8, 0), (1, 1, 8, 1), (2, 0, 8, 1)],
            &[(0, 1, 900, 100), extended, (4, 1, 1001, 9)],
        ] {
            table(partitions).check_layout(0).unwrap();
        }
    }

    #[test]
    fn a_partition_that_expands_may_be_anywhere_in_the_list_but_must_be_last_on_the_disk() {
        let mbr = table(&[(0, 1, 100, 10), (1, 1, 8, 10)]);
        for (number, expected) in [
            (0, Ok(())),
            (
                1,
                Err("partitions 0 (blocks 100 to 110) and 1 (blocks 8 to 110) overlap".to_owned()),
            ),
        ] {
            let mut partitions = mbr.partitions;
            if let Some(partition) = &mut partitions[number] {
                partition.expands = true;
            }
            let expanding = Mbr {
                partitions,
                ..mbr.clone()
            };
            assert_eq!(expanding.check_layout(0), expected);
        }
    }
}
