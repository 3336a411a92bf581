// SPDX-License-Identifier: MIT OR Apache-2.0

//! `gpt` sections: a GUID partition table with up to 16 partitions.

use std::fmt::{self, Display};

use super::guid::Guid;
use super::integer;
use super::model::{Section, Stage};
use super::table_option::{MOST_COUNT, MOST_OFFSET, number, title};

/// The number of partitions that fwup supports. The table itself has 128 entries.
pub(crate) const MOST_GPT: usize = 16;
/// The blocks of one copy of the table: its header, and 32 blocks of entries.
pub(crate) const TABLE_BLOCKS: u64 = 33;
/// The length of a partition's name in UTF-16 units.
pub(crate) const NAME_UNITS: usize = 36;
/// The attribute that `boot` sets: a legacy BIOS can boot from the partition.
const BOOT_FLAG: u64 = 1 << 2;

/// An error in a `gpt` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gpt \"{title}\": {what}")]
pub struct GptError {
    title: String,
    /// The error, without the section's title.
    pub what: String,
}

/// A `gpt` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gpt<'a> {
    pub(crate) title: &'a str,
    /// The disk's GUID; `None` if only the device can resolve it.
    pub(crate) guid: Option<Guid>,
    /// In the order of their numbers.
    pub(crate) partitions: Vec<GptPartition>,
}

/// A partition. Offsets and lengths are in blocks; `None` if only the device can resolve a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GptPartition {
    pub(crate) number: usize,
    pub(crate) kind: Option<Guid>,
    pub(crate) guid: Option<Guid>,
    /// At most [`NAME_UNITS`] UTF-16 units.
    pub(crate) name: Vec<u16>,
    pub(crate) start: Option<u32>,
    pub(crate) blocks: u32,
    /// The attributes (UEFI 2.10, section 5.3.3).
    pub(crate) flags: Option<u64>,
    /// Whether the partition grows to the end of the disk.
    pub(crate) grows: bool,
}

impl<'a> Gpt<'a> {
    /// Reads a section.
    ///
    /// # Errors
    ///
    /// Invalid values. [`check_layout`](Self::check_layout) checks the layout.
    pub(crate) fn parse(section: &'a Section, stage: Stage) -> Result<Self, GptError> {
        Self::read(section, stage).map_err(|what| GptError {
            title: section.title.clone(),
            what,
        })
    }

    fn read(section: &'a Section, stage: Stage) -> Result<Self, String> {
        let guid = guid(section, "guid", stage)?;
        let mut partitions: Vec<GptPartition> = Vec::new();
        for inner in &section.sections {
            if inner.kind != "partition" {
                continue;
            }
            let partition = GptPartition::parse(inner, stage)
                .map_err(|what| format!("partition '{}': {what}", inner.title))?;
            let number = partition.number;
            if partitions.iter().any(|other| other.number == number) {
                return Err(format!("partition {number} is defined twice"));
            }
            partitions.push(partition);
        }
        if partitions.is_empty() {
            return Err("it must have at least one partition".to_owned());
        }
        partitions.sort_unstable_by_key(|partition| partition.number);
        Ok(Self {
            title: &section.title,
            guid,
            partitions,
        })
    }

    /// Checks that no two partitions overlap whose places are known.
    pub(crate) fn check_overlaps(&self) -> Result<(), String> {
        for (index, partition) in self.partitions.iter().enumerate() {
            let mut others = self.partitions[index + 1..].iter();
            if let Some(other) = others.find(|other| partition.overlaps(other)) {
                return Err(format!("partitions {partition} and {other} overlap"));
            }
        }
        Ok(())
    }

    /// Checks that no two partitions overlap, that none overlaps the first copy of the table, and
    /// that only the last one expands.
    pub(crate) fn check_layout(&self) -> Result<(), String> {
        for partition in &self.partitions {
            let number = partition.number;
            let Some(start) = partition.start else {
                continue;
            };
            if u64::from(start) <= TABLE_BLOCKS {
                return Err(format!(
                    "partition {number} starts at block {start}, inside the partition table; the first free block is {}",
                    TABLE_BLOCKS + 1
                ));
            }
            if partition.blocks == 0 && !partition.grows {
                return Err(format!("partition {number} has no blocks: set block-count"));
            }
            for other in &self.partitions {
                if partition.grows && other.number > number {
                    return Err(format!(
                        "partition {} follows partition {number}, which expands; only the last one may",
                        other.number
                    ));
                }
                let follows = other.start.is_some_and(|other| other > start);
                if partition.grows && follows {
                    return Err(format!(
                        "partition {} is after partition {number}, which expands to the end of the disk",
                        other.number
                    ));
                }
            }
        }
        self.check_overlaps()
    }
}

/// Formats a partition as fwup does: the second block is the first one after the partition.
impl Display for GptPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.start.unwrap_or(0);
        write!(f, "{} (blocks {start} to {})", self.number, self.end())
    }
}

impl GptPartition {
    /// Reads a `partition` section.
    ///
    /// # Errors
    ///
    /// An option that is not set or not valid.
    pub(crate) fn parse(section: &Section, stage: Stage) -> Result<Self, String> {
        let options = &section.options;
        Ok(Self {
            number: title(section, "a partition", MOST_GPT)?,
            kind: guid(section, "type", stage)?,
            guid: guid(section, "guid", stage)?,
            start: number(section, "block-offset", MOST_OFFSET, None, stage)?,
            blocks: number(section, "block-count", MOST_COUNT, None, stage)?.unwrap_or(0),
            flags: flags(section, stage)?,
            grows: options.boolean("expand") == Some(true),
            name: units(options.text("name").unwrap_or_default()),
        })
    }

    /// Returns the first block after the partition, before it expands.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.start.unwrap_or(0)) + u64::from(self.blocks)
    }

    /// Returns the first block that cannot belong to the partition once it has expanded.
    fn reach(&self) -> u64 {
        if self.grows { u64::MAX } else { self.end() }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self.start, other.start) {
            (Some(start), Some(other_start)) => {
                self.reach() > u64::from(other_start) && other.reach() > u64::from(start)
            }
            _ => false,
        }
    }
}

/// Encodes a name, cut to the length that fits. A character of two units is not cut in half.
fn units(name: &str) -> Vec<u16> {
    let mut units = Vec::new();
    for character in name.chars() {
        if units.len() + character.len_utf16() > NAME_UNITS {
            break;
        }
        units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
    }
    units
}

/// Reads a GUID; `None` if only the device can resolve it.
fn guid(section: &Section, name: &str, stage: Stage) -> Result<Option<Guid>, String> {
    match section.options.text(name) {
        Some(text) if stage.defers(text) => Ok(None),
        Some(text) => Guid::parse(text).map(Some).ok_or_else(|| {
            format!(
                "{name} must be a GUID such as 0fc63daf-8483-4772-8e79-3d69d8477de4, not '{text}'"
            )
        }),
        None => Err(format!("{name} must be set to a GUID")),
    }
}

/// Reads the attributes of a partition, with the one that `boot` sets.
pub(crate) fn flags(section: &Section, stage: Stage) -> Result<Option<u64>, String> {
    let flags = match section.options.text("flags") {
        Some(text) if stage.defers(text) => return Ok(None),
        None | Some("") => 0,
        Some(text) => integer::unsigned(text)
            .ok_or_else(|| format!("flags must be a number of 64 bits, not '{text}'"))?,
    };
    match section.options.boolean("boot") {
        Some(true) => Ok(Some(flags | BOOT_FLAG)),
        _ => Ok(Some(flags)),
    }
}
