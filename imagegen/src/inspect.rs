// SPDX-License-Identifier: MIT OR Apache-2.0

//! Examines an image: lists its contents by block, and reports errors and contradictions.

use std::io;
use std::path::{Path, PathBuf};

use fwup::destination::Storage;
use little_loader_core::display::decimal;
use little_loader_core::env::place::{EnvCopy, EnvPlace};
use little_loader_core::kernel::image::{ImageHeader, PROBE_SIZE};
use little_loader_core::slots::slot::Slot;
use serde::Serialize;

use crate::env_file::EnvFile;
use crate::image::{Image, ImageError};
use crate::kernel::banner;
use crate::layout::Blocks;
use crate::mbr::{self, Mbr};
use crate::rootfs;
use crate::variables::Variables;

/// The number of bytes at the start of a kernel that are searched for its version banner.
const BANNER_SEARCH: u64 = 256 << 20;

/// The contents of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The size of the image in blocks of 512 bytes, rounded up.
    pub blocks: u64,
    /// The parts and the free space, sorted by block.
    pub regions: Vec<Part>,
    /// The variables, in the order of the block; bytes that are not UTF-8 are replaced.
    pub variables: Vec<(String, String)>,
    /// The active copy of a redundant environment, 1 or 2; `None` for a single or invalid one.
    pub active_copy: Option<u8>,
    /// Errors and contradictions.
    pub problems: Vec<String>,
}

/// A run of blocks and its contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The first block.
    pub start: u64,
    /// The number of blocks.
    pub blocks: u64,
    /// Its name.
    pub what: String,
    /// Details; may be empty.
    pub details: String,
}

impl Part {
    fn extent(&self) -> Blocks {
        Blocks {
            start: self.start,
            count: self.blocks,
        }
    }
}

/// The image file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] ImageError),
    /// A part of it cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// Examines an image and the environment expected at `place`.
///
/// # Errors
///
/// When the file cannot be read. Errors in its contents are in the report.
pub fn inspect(path: &Path, place: EnvPlace) -> Result<Report, InspectError> {
    let failed = |error| InspectError::Read {
        path: path.to_owned(),
        error,
    };
    let image = Image::open(path, false)?;
    let length = image.length();
    let mut look = Look {
        image,
        length,
        report: Report {
            blocks: length.div_ceil(512),
            regions: Vec::new(),
            variables: Vec::new(),
            active_copy: None,
            problems: Vec::new(),
        },
    };
    look.partitions().map_err(failed)?;
    look.environment(path, place).map_err(failed)?;
    look.overlaps();
    look.free();
    Ok(look.report)
}

struct Look {
    image: Image,
    length: u64,
    report: Report,
}

impl Look {
    fn add(
        &mut self,
        start: u64,
        blocks: u64,
        what: impl Into<String>,
        details: impl Into<String>,
    ) {
        let region = Part {
            start,
            blocks,
            what: what.into(),
            details: details.into(),
        };
        if start.saturating_add(blocks) > self.report.blocks {
            self.problem(format!(
                "{} at block {start} with {blocks} blocks ends beyond the image, which has {} blocks",
                region.what, self.report.blocks
            ));
        }
        self.report.regions.push(region);
    }

    fn problem(&mut self, problem: String) {
        self.report.problems.push(problem);
    }

    /// Reads `length` bytes from block `lba` on, fewer at the end of the image.
    fn read(&mut self, lba: u64, length: u64) -> io::Result<Vec<u8>> {
        let start = lba.saturating_mul(512);
        let length = length.min(self.length.saturating_sub(start));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.image.read_exact_at(start, &mut bytes)?;
        Ok(bytes)
    }

    fn partitions(&mut self) -> io::Result<()> {
        let block = self.read(0, mbr::SIZE as u64)?;
        let Some(mbr) = block.first_chunk().and_then(Mbr::parse) else {
            self.problem("block 0 is not an MBR: it does not end with 55 aa".to_owned());
            return Ok(());
        };
        self.add(0, 1, "MBR", "");
        for (number, partition) in (1..).zip(mbr.partitions) {
            let Some(partition) = partition else {
                continue;
            };
            let content = self.file_system(partition.start.into())?;
            let details = format!("type {:#04x}, {content}", partition.kind);
            self.add(
                partition.start.into(),
                partition.blocks.into(),
                format!("partition {number}"),
                details,
            );
        }
        Ok(())
    }

    /// Identifies the contents of a partition by its first bytes.
    fn file_system(&mut self, lba: u64) -> io::Result<String> {
        let bytes = self.read(lba, 4096)?;
        let number = |at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        Ok(if bytes.starts_with(rootfs::MAGIC) {
            // `bytes_used` of the superblock (Linux, fs/squashfs/squashfs_fs.h).
            format!("squashfs of {} bytes", number(40))
        } else if bytes.get(1024..1028) == Some(&[0x10, 0x20, 0xf5, 0xf2]) {
            "f2fs".to_owned()
        } else if bytes.get(1080..1082) == Some(&[0x53, 0xef]) {
            "ext2/3/4".to_owned()
        } else if bytes.iter().all(|byte| *byte == 0) {
            "empty".to_owned()
        } else {
            "unknown contents".to_owned()
        })
    }

    fn environment(&mut self, path: &Path, place: EnvPlace) -> io::Result<()> {
        let blocks = place.size.blocks();
        let env = match EnvFile::open(path, place, false) {
            Ok(env) => env,
            Err(error) => {
                self.problem(error.to_string());
                return Ok(());
            }
        };
        let variables = env.variables();
        let details = format!("{} variables", variables.iter().count());
        match env.active_copy() {
            None => self.add(place.lba.0, blocks, "environment", details),
            Some((copy, flags)) => {
                let is_first = copy == EnvCopy::First;
                self.report.active_copy = Some(if is_first { 1 } else { 2 });
                let described = |is_active: bool| match is_active {
                    true => format!("{details}, active copy (flags {flags})"),
                    false => "inactive copy".to_owned(),
                };
                self.add(
                    place.lba.0,
                    blocks,
                    "environment copy 1",
                    described(is_first),
                );
                let second = place.lba_of(EnvCopy::Second).0;
                self.add(second, blocks, "environment copy 2", described(!is_first));
            }
        }
        if let Some((lba, error)) = env.damaged_copy() {
            self.problem(format!(
                "the copy of the environment at block {lba} is damaged, and the other one is active: {error}"
            ));
        }
        self.report.variables = variables
            .iter()
            .map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    String::from_utf8_lossy(value).into_owned(),
                )
            })
            .collect();
        let active = variables.get("nerves_fw_active");
        match active {
            None => self.problem("nerves_fw_active is not set".to_owned()),
            Some(b"a" | b"b") => {}
            Some(other) => self.problem(format!(
                "nerves_fw_active is \"{}\", neither a nor b",
                other.escape_ascii()
            )),
        }
        for slot in [Slot::A, Slot::B] {
            let is_active = active == Some(slot.name().as_bytes());
            self.slot(slot, &variables, is_active)?;
        }
        Ok(())
    }

    fn slot(&mut self, slot: Slot, variables: &Variables, is_active: bool) -> io::Result<()> {
        let name = |variable: &str| format!("{slot}.{variable}");
        let Some(lba) = self.number(&name("kernel_lba"), variables) else {
            if is_active {
                self.problem(format!(
                    "slot {slot} is active, but {slot}.kernel_lba is not set or not a decimal number"
                ));
            }
            return Ok(());
        };
        if lba >= self.report.blocks {
            self.problem(format!(
                "{slot}.kernel_lba is {lba}, beyond the image, which has {} blocks",
                self.report.blocks
            ));
            return Ok(());
        }
        let probe = self.read(lba, PROBE_SIZE as u64)?;
        match ImageHeader::parse(&probe) {
            Ok(header) => {
                let length = header.bytes_to_read();
                let image = self.read(lba, length.0.min(BANNER_SEARCH))?;
                let version = banner(&image).unwrap_or_else(|| {
                    "unknown version (no \"Linux version\" text in the Image)".to_owned()
                });
                let details = format!(
                    "{version}; {} bytes, {} in memory",
                    length.0, header.image_size.0
                );
                self.add(lba, length.blocks(), format!("kernel {slot}"), details);
            }
            // A slot that Nerves has not filled yet contains only zeroes instead of a kernel.
            Err(_) if !is_active && probe.iter().all(|byte| *byte == 0) => {}
            Err(error) => self.problem(format!(
                "slot {slot}: invalid kernel at block {lba}: {error}"
            )),
        }
        let start = self.number(&name("initrd_lba"), variables);
        let length = self.number(&name("initrd_size"), variables);
        match (start, length) {
            (Some(start), Some(length)) => {
                let details = format!("{length} bytes");
                self.add(
                    start,
                    length.div_ceil(512),
                    format!("initrd {slot}"),
                    details,
                );
            }
            (None, None) => {}
            _ => self.problem(format!(
                "slot {slot}: initrd_lba and initrd_size must both be set, or neither"
            )),
        }
        Ok(())
    }

    fn number(&mut self, name: &str, variables: &Variables) -> Option<u64> {
        let value = variables.get(name)?;
        let number = decimal(value);
        if number.is_none() {
            self.problem(format!(
                "{name} is \"{}\", not a decimal number",
                value.escape_ascii()
            ));
        }
        number
    }

    /// Reports parts that share blocks.
    fn overlaps(&mut self) {
        self.report
            .regions
            .sort_by_key(|region| (region.start, region.blocks));
        let regions = self.report.regions.clone();
        for (number, first) in regions.iter().enumerate() {
            for second in &regions[number + 1..] {
                if first.extent().overlaps(second.extent()) {
                    self.problem(format!(
                        "{} (blocks {} to {}) and {} (blocks {} to {}) overlap",
                        first.what,
                        first.start,
                        first.extent().end() - 1,
                        second.what,
                        second.start,
                        second.extent().end() - 1
                    ));
                }
            }
        }
    }

    /// Adds the free space.
    fn free(&mut self) {
        let mut next = 0;
        let mut free = Vec::new();
        for region in &self.report.regions {
            if region.start > next {
                free.push((next, region.start - next));
            }
            next = next.max(region.extent().end());
        }
        if self.report.blocks > next {
            free.push((next, self.report.blocks - next));
        }
        for (start, blocks) in free {
            self.report.regions.push(Part {
                start,
                blocks,
                what: "free".to_owned(),
                details: String::new(),
            });
        }
        self.report.regions.sort_by_key(|region| region.start);
    }
}
