// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mbr` sections: a partition table with up to four primary and eight logical partitions.

use super::integer;
use super::model::{Section, Stage};
use super::osip::Osip;
use super::table_option::{MOST_COUNT, MOST_OFFSET, number, title};
use crate::hex;

/// The length of the boot code in a master boot record, in bytes.
pub(crate) const BOOT_CODE: usize = 440;
/// The number of partitions in the master boot record.
pub(crate) const PRIMARY: usize = 4;
/// The maximum number of partitions, including the logical ones.
pub(crate) const MOST: usize = 12;
/// The primary partition that contains the logical ones.
pub(crate) const EXTENDED: usize = 3;

/// An error in an `mbr` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mbr \"{title}\": {what}")]
pub struct MbrError {
    title: String,
    /// The error, without the section's title.
    pub what: String,
}

/// An `mbr` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mbr<'a> {
    pub(crate) title: &'a str,
    pub(crate) boot_code: Option<Vec<u8>>,
    /// In place of the boot code.
    pub(crate) osip: Option<Osip>,
    /// Also `None` if only the device can resolve it.
    pub(crate) signature: Option<u32>,
    /// Indexed by number. A partition of type 0 is unused.
    pub(crate) partitions: [Option<Partition>; MOST],
}

/// A partition. Offsets and lengths are in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) number: usize,
    pub(crate) kind: u8,
    /// `None` if only the device can resolve it.
    pub(crate) start: Option<u32>,
    pub(crate) blocks: u32,
    pub(crate) is_boot: bool,
    /// Whether the partition grows to the end of the disk.
    pub(crate) expands: bool,
}

impl<'a> Mbr<'a> {
    /// Reads a section.
    ///
    /// # Errors
    ///
    /// Invalid values, and partitions that cannot be in one table.
    /// [`check_layout`](Self::check_layout) checks the layout.
    pub(crate) fn parse(section: &'a Section, stage: Stage) -> Result<Self, MbrError> {
        Self::read(section, stage).map_err(|what| MbrError {
            title: section.title.clone(),
            what,
        })
    }

    fn read(section: &'a Section, stage: Stage) -> Result<Self, String> {
        let osip = Osip::parse(section, stage)?;
        if osip.is_some() && section.options.text("bootstrap-code").is_some() {
            return Err(
                "only one of include-osip and bootstrap-code can be set: both use the same bytes"
                    .to_owned(),
            );
        }
        let boot_code = section.options.text("bootstrap-code").map(|code| {
            hex::decode(code)
                .filter(|code| code.len() == BOOT_CODE)
                .ok_or_else(|| {
                    format!(
                        "bootstrap-code must be {} hexadecimal digits",
                        2 * BOOT_CODE
                    )
                })
        });
        let signature = match section.options.text("signature") {
            Some(text) if !stage.defers(text) => Some(
                integer::unsigned(text)
                    .and_then(|number| u32::try_from(number).ok())
                    .ok_or_else(|| {
                        format!("signature must be a number of 32 bits, not '{text}'")
                    })?,
            ),
            _ => None,
        };
        let mut partitions = [None; MOST];
        for inner in &section.sections {
            if inner.kind != "partition" {
                continue;
            }
            let partition = Partition::parse(inner, stage)
                .map_err(|what| format!("partition '{}': {what}", inner.title))?;
            if partitions[partition.number].replace(partition).is_some() {
                return Err(format!("partition {} is defined twice", partition.number));
            }
        }
        let mbr = Self {
            title: &section.title,
            boot_code: boot_code.transpose()?,
            osip,
            signature,
            partitions,
        };
        mbr.check_numbers()?;
        Ok(mbr)
    }

    /// Returns a partition, unless its type is 0.
    pub(crate) fn used(&self, number: usize) -> Option<&Partition> {
        let partition = self.partitions[number].as_ref();
        partition.filter(|partition| partition.kind != 0)
    }

    /// Checks that logical partitions are numbered without gaps. They are a chain of boot records
    /// without numbers: after a gap, readers would give them other numbers.
    fn check_numbers(&self) -> Result<(), String> {
        let Some(last) = (PRIMARY..MOST)
            .rev()
            .find(|number| self.used(*number).is_some())
        else {
            return Ok(());
        };
        if !self.used(EXTENDED).is_some_and(Partition::is_extended) {
            return Err(
                "for partitions from 4 on, partition 3 must have extended type 0x05 or 0x0f"
                    .to_owned(),
            );
        }
        match (PRIMARY..last).find(|number| self.used(*number).is_none()) {
            Some(gap) => Err(format!(
                "partition {gap} is missing before partition {last}; number the partitions from 4 on without gaps"
            )),
            None => Ok(()),
        }
    }
}

impl Partition {
    /// Reads a `partition` section. In an archive, an option that fwup omitted is 0.
    ///
    /// # Errors
    ///
    /// An option that is not set or out of range.
    pub(crate) fn parse(section: &Section, stage: Stage) -> Result<Self, String> {
        let title = title(section, "a partition", MOST)?;
        // In an archive, fwup omits what is 0.
        let default = (stage == Stage::Apply).then_some(0);
        let option = |name, most| number(section, name, most, default, stage);
        let start = option("block-offset", MOST_OFFSET)?;
        // At most 255.
        let kind = option("type", 0xff)?.unwrap_or(0) as u8;
        let mut partition = Self {
            number: title,
            kind,
            start,
            blocks: 1,
            is_boot: section.options.boolean("boot") == Some(true),
            expands: section.options.boolean("expand") == Some(true),
        };
        // An extended partition grows to the end of the disk, so it needs no length, and nothing
        // boots from it.
        if partition.is_extended() {
            partition.is_boot = false;
        }
        if !partition.is_extended() || section.options.get("block-count").is_some() {
            partition.blocks = option("block-count", MOST_COUNT)?.unwrap_or(0);
        }
        Ok(partition)
    }

    /// Whether the type is that of a partition that contains logical ones.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::model::{SectionOptions, Value};

    fn value(text: &str) -> Value {
        match (text.parse(), text) {
            (Ok(number), _) => Value::Integer(number),
            (_, "true") => Value::Boolean(true),
            _ => Value::Text(text.to_owned()),
        }
    }

    fn section(
        kind: &str,
        title: &str,
        options: &[(&str, &str)],
        sections: Vec<Section>,
    ) -> Section {
        Section {
            kind: kind.to_owned(),
            title: title.to_owned(),
            options: SectionOptions(
                options
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), value(text)))
                    .collect(),
            ),
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
    fn what_cannot_be_is_named() {
        let error = |mbr: &Section| Mbr::parse(mbr, Stage::Apply).unwrap_err().to_string();
        assert_eq!(
            error(&section(
                "mbr",
                "x",
                &[("include-osip", "true")],
                Vec::new()
            )),
            "mbr \"x\": include-osip needs at least one osii section"
        );
        assert_eq!(
            error(&with("12", &[])),
            "mbr \"x\": partition '12': a partition's title must be its number, 0 to 11"
        );
        assert_eq!(
            error(&with("0", &[("block-offset", "4294967296")])),
            "mbr \"x\": partition '0': block-offset must be 0 to 4294967294, not '4294967296'"
        );
        assert_eq!(
            error(&with("4", &[("type", "131")])),
            "mbr \"x\": for partitions from 4 on, partition 3 must have extended type 0x05 or 0x0f"
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
                "mbr \"x\": partition 5 is missing before partition 6; number the partitions from 4 on without gaps",
            ),
            (
                vec![
                    partition("3", "15"),
                    partition("4", "0"),
                    partition("5", "131"),
                ],
                "mbr \"x\": partition 4 is missing before partition 5; number the partitions from 4 on without gaps",
            ),
            (
                vec![partition("1", "131"), partition("0x1", "131")],
                "mbr \"x\": partition 1 is defined twice",
            ),
        ] {
            assert_eq!(error(&section("mbr", "x", &[], partitions)), expected);
        }
        assert_eq!(
            error(&section(
                "mbr",
                "x",
                &[("bootstrap-code", "xx")],
                Vec::new()
            )),
            "mbr \"x\": bootstrap-code must be 880 hexadecimal digits"
        );
    }
}
