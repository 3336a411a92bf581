// SPDX-License-Identifier: MIT OR Apache-2.0

//! The conditions for choosing a task, with parsed arguments.

use super::call::{Arguments, CallError, MOST_BLOCK};
use super::env_section::EnvSection;
use super::fat_action::FatPath;
use super::mbr::PRIMARY;
use super::model::{Call, Firmware, Stage};

/// A condition. Offsets are in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requirement<'a> {
    /// A variable has this value.
    Variable {
        environment: EnvSection<'a>,
        variable: &'a str,
        value: &'a str,
    },
    /// A primary partition starts at this block.
    PartitionOffset { partition: usize, offset: u64 },
    /// A file is on a FAT file system of the destination.
    FatFileExists(FatPath<'a>),
    /// A file on a FAT file system of the destination contains a text.
    FatFileMatch { file: FatPath<'a>, pattern: &'a str },
    /// A file is on the file system of a block device.
    PathOnDevice { path: &'a str, device: &'a str },
    /// A file is on a partition that starts at this block.
    PathAtOffset { path: &'a str, offset: u64 },
    /// A shell command succeeds. Needs `--unsafe`.
    Execute { command: &'a str },
}

impl<'a> Requirement<'a> {
    /// Reads a call; `None` if only the device can resolve an argument.
    pub(crate) fn parse(
        call: &'a Call,
        firmware: &'a Firmware,
        stage: Stage,
    ) -> Result<Option<Self>, CallError> {
        let read = Arguments::new(call, firmware, stage);
        Ok(match (call.name.as_str(), read.all().as_slice()) {
            ("require-uboot-variable", &[title, variable, value]) => {
                read.environment(title)?.map(|environment| Self::Variable {
                    environment,
                    variable,
                    value,
                })
            }
            ("require-uboot-variable", _) => {
                return Err(read.wrong_count("a uboot-environment, a name and a value"));
            }
            ("require-partition-offset", &[partition, offset]) => {
                let partition = read.number("first", partition, PRIMARY as u64 - 1)?;
                let offset = read.number("second", offset, MOST_BLOCK)?;
                partition
                    .zip(offset)
                    .map(|(partition, offset)| Self::PartitionOffset {
                        // Below 4.
                        partition: partition as usize,
                        offset,
                    })
            }
            ("require-partition-offset", _) => {
                return Err(read.wrong_count("a partition and a block"));
            }
            ("require-fat-file-exists", &[offset, path]) => read
                .blocks("first", offset)?
                .map(|volume| Self::FatFileExists(FatPath { volume, path })),
            ("require-fat-file-exists", _) => return Err(read.wrong_count("a block and a path")),
            ("require-fat-file-match", &[offset, path, pattern]) => read
                .blocks("first", offset)?
                .map(|volume| Self::FatFileMatch {
                    file: FatPath { volume, path },
                    pattern,
                }),
            ("require-fat-file-match", _) => {
                return Err(read.wrong_count("a block, a path and a text"));
            }
            ("require-path-on-device", &[path, device]) => {
                Some(Self::PathOnDevice { path, device })
            }
            ("require-path-on-device", _) => {
                return Err(read.wrong_count("a path and a device"));
            }
            ("require-path-at-offset", &[path, offset]) => read
                .number("second", offset, MOST_BLOCK)?
                .map(|offset| Self::PathAtOffset { path, offset }),
            ("require-path-at-offset", _) => {
                return Err(read.wrong_count("a path and a block"));
            }
            ("require-execute", &[command]) => Some(Self::Execute { command }),
            ("require-execute", _) => return Err(read.wrong_count("a command")),
            (name, _) => return Err(CallError::Unsupported(name.to_owned())),
        })
    }
}
