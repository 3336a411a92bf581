// SPDX-License-Identifier: MIT OR Apache-2.0

//! Chooses the task: the first one with the right name whose requirements hold.

use std::io;
use std::path::Path;

use fat_volume::{Session, Start, Timestamp};

use super::fat_device::{FatDevice, volume_start};
use super::observer::Observer;
use super::uboot_env::{UbootEnv, UbootEnvError};
use super::unmet::{UnmetReason, UnmetRequirement};
use super::{boot_records, device_path, outside};
use crate::destination::device::Device;
use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;
use crate::destination::view::SharedDevice;
use crate::firmware::call::CallError;
use crate::firmware::fat_action::FatPath;
use crate::firmware::model::{Call, Firmware, Stage, Task};
use crate::firmware::requirement::Requirement;
use crate::language::quoted;

/// The folder in which Linux describes its partitions.
const SYS: &str = "/sys";

/// An error that prevents deciding whether a task applies.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// A FAT file system on the destination cannot be read.
    #[error("cannot read the FAT file system at offset {offset}: {error}")]
    Fat {
        /// In bytes.
        offset: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The destination cannot be read.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Why a requirement does not hold; `None` if it does.
type Finding = Result<Option<UnmetReason>, RequirementError>;

/// Returns the first task whose name starts with `prefix` and whose requirements hold. The observer
/// receives the reasons against the tasks before it.
///
/// # Errors
///
/// When a requirement is not supported yet, or the destination cannot be read.
pub(super) fn choose<'a, S: Storage>(
    firmware: &'a Firmware,
    prefix: &str,
    device: &mut Device<S>,
    observer: &mut dyn Observer,
) -> Result<Option<&'a Task>, RequirementError> {
    let may_print = observer.shares_stdout();
    for task in &firmware.tasks {
        if !task.name.starts_with(prefix) {
            continue;
        }
        let Some((requirement, reason)) = unmet(task, firmware, device, may_print)? else {
            return Ok(Some(task));
        };
        observer.unmet(UnmetRequirement {
            task: task.name.clone(),
            requirement,
            reason,
        });
    }
    Ok(None)
}

/// Returns the first requirement of a task that does not hold, and the reason.
fn unmet<S: Storage>(
    task: &Task,
    firmware: &Firmware,
    device: &mut Device<S>,
    may_print: bool,
) -> Result<Option<(String, UnmetReason)>, RequirementError> {
    // The older form is an option of the task. A negative number means "not set".
    let offset = task.options.integer("require-partition1-offset");
    if let Some(offset) = offset.and_then(|offset| u64::try_from(offset).ok())
        && let Some(reason) = starts_at(device, 1, offset)?
    {
        return Ok(Some((
            format!("require-partition1-offset = {offset}"),
            reason,
        )));
    }
    for call in &task.requirements {
        if let Some(reason) = against(call, firmware, device, may_print)? {
            let arguments: Vec<_> = call.arguments.iter().map(|text| quoted(text)).collect();
            let text = format!("{}({})", call.name, arguments.join(", "));
            return Ok(Some((text, reason)));
        }
    }
    Ok(None)
}

fn against<S: Storage>(
    call: &Call,
    firmware: &Firmware,
    device: &mut Device<S>,
    may_print: bool,
) -> Finding {
    match Requirement::parse(call, firmware, Stage::Apply) {
        Ok(Some(Requirement::Execute { .. })) if !firmware.is_unsafe => {
            Ok(found(Err("it needs --unsafe".to_owned())))
        }
        Ok(Some(requirement)) => against_parsed(requirement, device, may_print),
        // An unknown or invalid requirement does not hold, as in fwup.
        Err(CallError::Unsupported(_)) => {
            Ok(found(Err("this version does not know it".to_owned())))
        }
        Err(error) => Ok(found(Err(error.to_string()))),
        Ok(None) => Ok(found(Err("an argument has no value".to_owned()))),
    }
}

fn against_parsed<S: Storage>(
    requirement: Requirement<'_>,
    device: &mut Device<S>,
    may_print: bool,
) -> Finding {
    match requirement {
        Requirement::Variable {
            environment,
            variable,
            value,
        } => {
            let read = UbootEnv::read(environment, device).and_then(|env| env.get(variable));
            match read {
                Ok(Some(read)) if read == value.as_bytes() => Ok(None),
                Ok(Some(read)) => {
                    let read = String::from_utf8_lossy(&read);
                    Ok(found(Err(format!("it is {}", quoted(&read)))))
                }
                Ok(None) => Ok(found(Err("it is not set".to_owned()))),
                // A read error must not lead to the choice of another task.
                Err(UbootEnvError::Device(error)) => Err(error.into()),
                Err(error) => Ok(Some(UnmetReason::Environment(error.to_string()))),
            }
        }
        Requirement::PartitionOffset { partition, offset } => {
            Ok(starts_at(device, partition, offset)?)
        }
        Requirement::FatFileExists(file) => on_fat(device, file, |session, disk, start| {
            let exists = session.exists(disk, start, file.path)?;
            Ok((!exists).then_some("there is no such file"))
        }),
        Requirement::FatFileMatch { file, pattern } => {
            on_fat(device, file, |session, disk, start| {
                let contains = session.file_contains(disk, start, file.path, pattern.as_bytes())?;
                Ok((!contains).then_some("the file does not contain it"))
            })
        }
        Requirement::PathOnDevice { path, device } => {
            Ok(found(device_path::on_device(path, device, Path::new(SYS))))
        }
        Requirement::PathAtOffset { path, offset } => {
            Ok(found(device_path::at_offset(path, offset, Path::new(SYS))))
        }
        Requirement::Execute { command: "" } => Ok(found(Err("the command is empty".to_owned()))),
        Requirement::Execute { command } => Ok(found(outside::succeeds(command, may_print))),
    }
}

fn found(checked: Result<(), String>) -> Option<UnmetReason> {
    checked.err().map(UnmetReason::Found)
}

/// Checks a file on a FAT file system. `check` returns what was found instead.
fn on_fat<S: Storage>(
    device: &mut Device<S>,
    file: FatPath<'_>,
    check: impl FnOnce(
        &mut Session,
        &mut dyn fat_volume::Storage,
        Start,
    ) -> Result<Option<&'static str>, fat_volume::Error>,
) -> Finding {
    let shared = SharedDevice::new(device);
    let mut session = Session::new(Timestamp::FWUP);
    let checked = volume_start(file.volume)
        .and_then(|start| check(&mut session, &mut FatDevice(&shared), start));
    match checked {
        Ok(None) => Ok(None),
        Ok(Some(instead)) => Ok(found(Err(instead.to_owned()))),
        // A read error must not lead to the choice of another task.
        Err(fat_volume::Error::Disk { offset, source }) => Err(RequirementError::Fat {
            offset,
            error: source,
        }),
        Err(error) => Ok(found(Err(error.to_string()))),
    }
}

/// Checks that the primary partition `partition`, 0 to 3, starts at block `offset`.
fn starts_at<S: Storage>(
    device: &mut Device<S>,
    partition: usize,
    offset: u64,
) -> Result<Option<UnmetReason>, DeviceError> {
    let mut block = [0; 512];
    device.read(0, &mut block)?;
    let start = boot_records::primary_starts(&block).map(|starts| u64::from(starts[partition]));
    Ok(found(match start {
        Some(start) if start == offset => Ok(()),
        Some(start) => Err(format!("partition {partition} starts at block {start}")),
        None => Err("block 0 of the destination is not a master boot record".to_owned()),
    }))
}
