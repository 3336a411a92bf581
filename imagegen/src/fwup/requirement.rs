// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must hold for a task to be chosen.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::device::{Device, DeviceError, Storage};
use super::environment::{Environment, EnvironmentError};
use super::language::integer::unsigned;
use super::model::{Call, Firmware, Task};
use super::partitions;

/// Why it cannot be told whether a task is the one.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// The format has it, this program does not.
    #[error("{0} is not supported yet")]
    NotYet(String),
    /// The disk.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// The task that is meant by the start of its name: the first one whose requirements hold.
///
/// # Errors
///
/// When a requirement is met that is not supported yet, or the disk cannot be read.
pub(super) fn choose<'a, S: Storage>(
    firmware: &'a Firmware,
    prefix: &str,
    device: &mut Device<S>,
) -> Result<Option<&'a Task>, RequirementError> {
    for task in &firmware.tasks {
        if task.name.starts_with(prefix) && applies(task, firmware, device)? {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

fn applies<S: Storage>(
    task: &Task,
    firmware: &Firmware,
    device: &mut Device<S>,
) -> Result<bool, RequirementError> {
    // An old form, an option of the task.
    if let Some(offset) = task.option("require-partition1-offset")
        && !starts_at(device, "1", offset)?
    {
        return Ok(false);
    }
    for requirement in &task.requirements {
        if !holds(requirement, firmware, device)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds<S: Storage>(
    requirement: &Call,
    firmware: &Firmware,
    device: &mut Device<S>,
) -> Result<bool, RequirementError> {
    let arguments: Vec<_> = requirement.arguments.iter().map(String::as_str).collect();
    match (requirement.name.as_str(), &arguments[..]) {
        ("require-uboot-variable", [title, variable, value]) => {
            let Some(section) = firmware
                .environments
                .iter()
                .find(|section| section.title == *title)
            else {
                return Ok(false);
            };
            let found = Environment::read(section, device)
                .and_then(|environment| environment.get(variable));
            match found {
                Ok(found) => Ok(found.as_deref() == Some(value.as_bytes())),
                // A disk that cannot be read does not say that another task is the right one.
                Err(EnvironmentError::Device(error)) => Err(error.into()),
                Err(_) => Ok(false),
            }
        }
        ("require-partition-offset", [partition, offset]) => starts_at(device, partition, offset),
        ("require-path-on-device", [path, device]) => {
            Ok(is_on_device(Path::new(path), Path::new(device)))
        }
        ("require-path-at-offset", [path, offset]) => {
            Ok(unsigned(offset)
                .is_some_and(|offset| start_of_device(Path::new(path)) == Some(offset)))
        }
        (name @ ("require-fat-file-exists" | "require-fat-file-match"), _) => {
            Err(RequirementError::NotYet(name.to_owned()))
        }
        // Without --unsafe it does not hold, as with fwup.
        ("require-execute", _) if firmware.is_unsafe => {
            Err(RequirementError::NotYet("require-execute".to_owned()))
        }
        // What is not known does not hold.
        _ => Ok(false),
    }
}

/// Whether a primary partition starts at a block.
fn starts_at<S: Storage>(
    device: &mut Device<S>,
    partition: &str,
    offset: &str,
) -> Result<bool, RequirementError> {
    let mut block = [0; 512];
    device.read(0, &mut block)?;
    let start = partitions::starts(&block).and_then(|starts| {
        let partition = usize::try_from(unsigned(partition)?).ok()?;
        starts.get(partition).map(|start| u64::from(*start))
    });
    Ok(start.is_some() && start == unsigned(offset))
}

/// Whether a file is on the file system of a block device.
fn is_on_device(path: &Path, device: &Path) -> bool {
    match (fs::metadata(path), fs::metadata(device)) {
        (Ok(path), Ok(device)) => {
            device.file_type().is_block_device() && path.dev() == device.rdev()
        }
        _ => false,
    }
}

/// The block at which the partition starts that a file is on.
fn start_of_device(path: &Path) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    // As glibc packs them.
    let major = device >> 8 & 0xfff | device >> 32 & !0xfff;
    let minor = device & 0xff | device >> 12 & !0xff;
    let start = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/start")).ok()?;
    start.trim().parse().ok()
}
