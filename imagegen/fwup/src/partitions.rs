// SPDX-License-Identifier: MIT OR Apache-2.0

//! From an `mbr` section to the blocks on the disk: the master boot record, and an extended boot record for each logical
//! partition.
//!
//! An extended partition grows to the end of the disk, as one with `expand` does. The boot records of the logical
//! partitions stand one behind the other at its start.

use super::language::integer::unsigned;
use super::model::Section;
use super::unhex;

/// The size of a block in bytes.
const BLOCK: usize = 512;
/// The bytes of code at the start.
const CODE: usize = 440;
/// Where the partitions are in a record, in bytes.
const TABLE: usize = 446;
/// The bytes of a partition's entry.
const ENTRY: usize = 16;
/// How many partitions the master boot record has.
pub(super) const PRIMARY: usize = 4;
/// How many there may be with the logical ones.
pub(super) const MOST: usize = 12;
/// The primary partition that the logical ones are in.
pub(super) const EXTENDED: usize = 3;
/// The type of a link to the next boot record.
const LINK: u8 = 0x0f;

/// The geometry that cylinders, heads and sectors are made up from.
const SECTORS: u32 = 63;
const HEADS: u32 = 255;
/// The first block that they cannot express, and what stands there then.
const CHS_END: u32 = SECTORS * HEADS * 1024;
const BEYOND_CHS: [u8; 3] = [0xfe, 0xff, 0xff];

/// What is wrong with an `mbr` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mbr \"{mbr}\": {what}")]
pub struct MbrError {
    mbr: String,
    what: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    kind: u8,
    start: u32,
    blocks: u32,
    is_boot: bool,
    expands: bool,
}

impl Partition {
    fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.blocks)
    }

    fn encode(self, entry: &mut [u8]) {
        if self.kind != 0 {
            entry[0] = if self.is_boot { 0x80 } else { 0 };
            entry[1..4].copy_from_slice(&chs(self.start));
            entry[4] = self.kind;
            let last = self.start.wrapping_add(self.blocks).wrapping_sub(1);
            entry[5..8].copy_from_slice(&chs(last));
        }
        entry[8..12].copy_from_slice(&self.start.to_le_bytes());
        entry[12..16].copy_from_slice(&self.blocks.to_le_bytes());
    }
}

/// The blocks to write, each with its number on the disk; the master boot record is the last, so that it never leads to
/// records that are not there. `disk` is the disk's size in blocks, 0 when it is not known.
///
/// # Errors
///
/// When the section asks for what cannot be.
pub fn blocks(mbr: &Section, disk: u64) -> Result<Vec<(u64, [u8; BLOCK])>, MbrError> {
    let fail = |what: String| MbrError {
        mbr: mbr.title.clone(),
        what,
    };
    if mbr.option("include-osip") == Some("true") {
        return Err(fail("OSIP is not supported yet".to_owned()));
    }
    let mut partitions = [Partition::default(); MOST];
    let mut found = [false; MOST];
    for section in mbr
        .sections
        .iter()
        .filter(|section| section.kind == "partition")
    {
        let number = unsigned(&section.title)
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number < MOST)
            .ok_or_else(|| {
                fail(format!(
                    "partition \"{}\", expected 0 to {}",
                    section.title,
                    MOST - 1
                ))
            })?;
        if std::mem::replace(&mut found[number], true) {
            return Err(fail(format!("partition {number} is there twice")));
        }
        partitions[number] = partition(section).map_err(&fail)?;
    }
    let is_there = |number: usize| partitions[number].kind != 0;
    if let Some(gap) = gap(is_there) {
        return Err(fail(format!(
            "there is no partition {gap}, but one behind it; logical partitions are numbered without gaps"
        )));
    }
    let logical: Vec<_> = partitions[PRIMARY..]
        .iter()
        .take_while(|partition| partition.kind != 0)
        .copied()
        .collect();
    if !logical.is_empty() && !is_extended(partitions[EXTENDED].kind) {
        return Err(fail(
            "partitions from 4 on need a partition 3 of type 0x5 or 0xf".to_owned(),
        ));
    }
    // A disk is at least as large as its partitions.
    let disk = partitions
        .iter()
        .map(|partition| partition.end())
        .fold(disk, u64::max);
    let grown = |partition: Partition| {
        let expands = partition.expands || is_extended(partition.kind);
        let most = u64::from(u32::MAX);
        let blocks = if expands && disk > partition.end() {
            (disk - u64::from(partition.start)).min(most)
        } else {
            u64::from(partition.blocks)
        };
        Partition {
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            ..partition
        }
    };

    let mut blocks = Vec::new();
    let first_record = partitions[EXTENDED].start;
    for (number, partition) in (0_u32..).zip(&logical) {
        let at = first_record.saturating_add(number);
        let start = partition.start.checked_sub(at).ok_or_else(|| {
            fail(format!(
                "partition {} starts before block {at}, where its boot record is",
                PRIMARY as u32 + number
            ))
        })?;
        let mut record = record();
        Partition {
            start,
            is_boot: false,
            ..grown(*partition)
        }
        .encode(&mut record[TABLE..]);
        if (number as usize) + 1 < logical.len() {
            Partition {
                kind: LINK,
                start: number + 1,
                blocks: 1,
                ..Partition::default()
            }
            .encode(&mut record[TABLE + ENTRY..]);
        }
        blocks.push((u64::from(at), record));
    }
    blocks.reverse();
    blocks.push((0, master(mbr, partitions.map(grown)).map_err(fail)?));
    Ok(blocks)
}

/// The first number of a logical partition that is not there, but one behind it is. The boot records of logical partitions
/// are a chain without numbers: those behind a gap would have others than they were given.
pub(super) fn gap(is_there: impl Fn(usize) -> bool) -> Option<usize> {
    let last = (PRIMARY..MOST).rev().find(|number| is_there(*number))?;
    (PRIMARY..last).find(|number| !is_there(*number))
}

fn master(mbr: &Section, partitions: [Partition; MOST]) -> Result<[u8; BLOCK], String> {
    let mut master = record();
    if let Some(code) = mbr.option("bootstrap-code") {
        let code = unhex(code)
            .filter(|code| code.len() == CODE)
            .ok_or_else(|| format!("bootstrap-code is not {CODE} bytes in hexadecimal"))?;
        master[..CODE].copy_from_slice(&code);
    }
    if let Some(text) = mbr.option("signature") {
        let signature = unsigned(text)
            .and_then(|signature| u32::try_from(signature).ok())
            .ok_or_else(|| format!("signature is \"{text}\", expected a number of 32 bits"))?;
        master[CODE..CODE + 4].copy_from_slice(&signature.to_le_bytes());
    }
    for (partition, entry) in partitions
        .iter()
        .take(PRIMARY)
        .zip(master[TABLE..].chunks_mut(ENTRY))
    {
        partition.encode(entry);
    }
    Ok(master)
}

fn partition(section: &Section) -> Result<Partition, String> {
    let option = |name: &str| match section.option(name) {
        None => Ok(0),
        Some(text) => unsigned(text)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| {
                format!(
                    "partition {}: {name} is \"{text}\", expected a number of 32 bits",
                    section.title
                )
            }),
    };
    let kind = option("type")?;
    // An extended partition grows, and may leave its length to that.
    let blocks = match section.option("block-count") {
        None if is_extended_type(kind) => 1,
        _ => option("block-count")?,
    };
    Ok(Partition {
        kind: u8::try_from(kind).map_err(|_| {
            format!(
                "partition {}: type {kind:#x} has more than 8 bits",
                section.title
            )
        })?,
        start: option("block-offset")?,
        blocks,
        is_boot: section.option("boot") == Some("true"),
        expands: section.option("expand") == Some("true"),
    })
}

fn is_extended(kind: u8) -> bool {
    is_extended_type(u32::from(kind))
}

/// Whether a partition of this type is one that holds the logical ones.
pub(super) fn is_extended_type(kind: u32) -> bool {
    matches!(kind, 0x05 | 0x0f)
}

/// An empty record.
fn record() -> [u8; BLOCK] {
    let mut record = [0; BLOCK];
    record[BLOCK - 2..].copy_from_slice(&[0x55, 0xaa]);
    record
}

/// Head, sector with the upper bits of the cylinder, and the lower bits of the cylinder.
fn chs(block: u32) -> [u8; 3] {
    if block >= CHS_END {
        return BEYOND_CHS;
    }
    let (track, sector) = (block / SECTORS, block % SECTORS + 1);
    let (cylinder, head) = (track / HEADS, track % HEADS);
    // All below 256.
    [
        head as u8,
        (cylinder >> 8 << 6 | sector) as u8,
        cylinder as u8,
    ]
}

/// Where the primary partitions of a master boot record start, in blocks; `None` for a block that is none.
#[must_use]
pub fn starts(block: &[u8; BLOCK]) -> Option<[u32; PRIMARY]> {
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

    fn section(
        kind: &str,
        title: &str,
        options: &[(&str, &str)],
        sections: Vec<Section>,
    ) -> Section {
        Section {
            kind: kind.to_owned(),
            title: title.to_owned(),
            options: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            sections,
        }
    }

    fn with(number: &str, options: &[(&str, &str)]) -> Section {
        section(
            "mbr",
            "x",
            &[],
            vec![section("partition", number, options, Vec::new())],
        )
    }

    #[test]
    fn cylinders_heads_and_sectors_end_where_they_can_express_no_more() {
        assert_eq!(chs(0), [0, 1, 0]);
        assert_eq!(chs(64), [1, 2, 0]);
        assert_eq!(chs(16383), [5, 4, 1]);
        assert_eq!(chs(CHS_END - 1), [254, 0xff, 0xff]);
        assert_eq!(chs(CHS_END), BEYOND_CHS);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let error = |mbr: &Section| blocks(mbr, 0).unwrap_err().to_string();
        assert_eq!(
            error(&section(
                "mbr",
                "x",
                &[("include-osip", "true")],
                Vec::new()
            )),
            "mbr \"x\": OSIP is not supported yet"
        );
        assert_eq!(
            error(&with("12", &[])),
            "mbr \"x\": partition \"12\", expected 0 to 11"
        );
        assert_eq!(
            error(&with("0", &[("block-offset", "4294967296")])),
            "mbr \"x\": partition 0: block-offset is \"4294967296\", expected a number of 32 bits"
        );
        assert_eq!(
            error(&with("4", &[("type", "0x83")])),
            "mbr \"x\": partitions from 4 on need a partition 3 of type 0x5 or 0xf"
        );
        let partition =
            |number: &str, kind: &str| section("partition", number, &[("type", kind)], Vec::new());
        for (partitions, expected) in [
            (
                vec![
                    partition("3", "15"),
                    partition("4", "131"),
                    partition("6", "131"),
                ],
                "mbr \"x\": there is no partition 5, but one behind it; logical partitions are numbered without gaps",
            ),
            (
                vec![
                    partition("3", "15"),
                    partition("4", "0"),
                    partition("5", "131"),
                ],
                "mbr \"x\": there is no partition 4, but one behind it; logical partitions are numbered without gaps",
            ),
            (
                vec![partition("1", "131"), partition("0x1", "131")],
                "mbr \"x\": partition 1 is there twice",
            ),
        ] {
            assert_eq!(error(&section("mbr", "x", &[], partitions)), expected);
        }
        assert_eq!(
            error(&section(
                "mbr",
                "x",
                &[("bootstrap-code", "00")],
                Vec::new()
            )),
            "mbr \"x\": bootstrap-code is not 440 bytes in hexadecimal"
        );
    }

    #[test]
    fn a_partition_expands_to_the_end_of_a_disk_that_is_larger() {
        let mbr = with(
            "0",
            &[
                ("type", "131"),
                ("block-offset", "100"),
                ("block-count", "50"),
                ("expand", "true"),
            ],
        );
        for (disk, expected) in [(0, 50), (150, 50), (1000, 900), (1 << 40, u32::MAX)] {
            let (_, block) = blocks(&mbr, disk).unwrap()[0];
            assert_eq!(
                block[TABLE + 12..TABLE + 16],
                expected.to_le_bytes(),
                "{disk}"
            );
        }
    }
}
