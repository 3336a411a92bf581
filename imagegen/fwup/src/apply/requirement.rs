// SPDX-License-Identifier: MIT OR Apache-2.0

//! Chooses the task: the first one with the right name whose requirements hold.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::boot_records;
use super::uboot_env::{UbootEnv, UbootEnvError};
use crate::destination::block_devices::device_number;
use crate::destination::device::Device;
use crate::destination::error::DeviceError;
use crate::destination::storage::Storage;
use crate::firmware::call::CallError;
use crate::firmware::model::{Call, Firmware, Stage, Task};
use crate::firmware::requirement::Requirement;

/// The folder in which Linux describes its partitions.
const SYS: &str = "/sys";

/// An error that prevents deciding whether a task applies.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    /// The requirement is in the format, but this program does not support it.
    #[error("'{0}' is not supported yet")]
    Unsupported(String),
    /// The destination cannot be read.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Returns the first task whose name starts with `prefix` and whose requirements hold.
///
/// # Errors
///
/// When a requirement is not supported yet, or the destination cannot be read.
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
    // The older form is an option of the task. A negative number means "not set".
    let offset = task.options.integer("require-partition1-offset");
    if let Some(offset) = offset.and_then(|offset| u64::try_from(offset).ok())
        && !starts_at(device, 1, offset)?
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
    call: &Call,
    firmware: &Firmware,
    device: &mut Device<S>,
) -> Result<bool, RequirementError> {
    match Requirement::parse(call, firmware, Stage::Apply) {
        Ok(Some(requirement)) => requirement_holds(requirement, device),
        // Without --unsafe, require-execute does not hold, as in fwup.
        Err(CallError::Unsupported(name)) if name == "require-execute" && !firmware.is_unsafe => {
            Ok(false)
        }
        Err(CallError::Unsupported(name)) if is_known(&name) => {
            Err(RequirementError::Unsupported(name))
        }
        // An unknown or invalid requirement does not hold, as in fwup.
        Ok(None) | Err(_) => Ok(false),
    }
}

/// Whether an unsupported requirement is in the format.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        "require-fat-file-exists" | "require-fat-file-match" | "require-execute"
    )
}

fn requirement_holds<S: Storage>(
    requirement: Requirement<'_>,
    device: &mut Device<S>,
) -> Result<bool, RequirementError> {
    match requirement {
        Requirement::Variable {
            environment,
            variable,
            value,
        } => {
            let found = UbootEnv::read(environment, device).and_then(|env| env.get(variable));
            match found {
                Ok(found) => Ok(found.as_deref() == Some(value.as_bytes())),
                // A read error must not lead to the choice of another task.
                Err(UbootEnvError::Device(error)) => Err(error.into()),
                Err(_) => Ok(false),
            }
        }
        Requirement::PartitionOffset { partition, offset } => {
            Ok(starts_at(device, partition, offset)?)
        }
        Requirement::PathOnDevice { path, device } => {
            Ok(is_on_device(Path::new(path), Path::new(device)))
        }
        Requirement::PathAtOffset { path, offset } => {
            Ok(start_of_device(Path::new(path), SYS) == Some(offset))
        }
    }
}

/// Whether the primary partition `partition`, 0 to 3, starts at block `offset`.
fn starts_at<S: Storage>(
    device: &mut Device<S>,
    partition: usize,
    offset: u64,
) -> Result<bool, DeviceError> {
    let mut block = [0; 512];
    device.read(0, &mut block)?;
    let starts = boot_records::primary_starts(&block);
    Ok(starts.is_some_and(|starts| u64::from(starts[partition]) == offset))
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

/// Returns the first block of the partition that a file is on, from `sys`, a folder like `/sys`.
fn start_of_device(path: &Path, sys: &str) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    let file = format!("{sys}/dev/block/{}/start", device_number(device));
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    /// Returns a mount point and its block device: those of a mounted file system, or else `folder`
    /// and a device file made for the test.
    fn mounted(folder: &Path) -> (PathBuf, PathBuf) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let found = mounts.lines().find_map(|line| {
            let mut words = line.split(' ');
            let (device, path) = (words.next()?, words.next()?);
            let number = fs::metadata(device).ok()?;
            let is_it = number.file_type().is_block_device()
                && fs::metadata(path).ok()?.dev() == number.rdev();
            is_it.then(|| (path.into(), device.into()))
        });
        found.unwrap_or_else(|| {
            let device = folder.join("device");
            let of_folder = device_number(fs::metadata(folder).unwrap().dev());
            let made = Command::new("mknod")
                .arg(&device)
                .arg("b")
                .args(of_folder.split(':'))
                .status();
            assert!(
                made.is_ok_and(|status| status.success()),
                "found no mounted file system with a block device, and mknod cannot make a device; run this as root"
            );
            (folder.to_owned(), device)
        })
    }

    #[test]
    fn a_path_is_on_the_device_of_its_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let (path, device) = mounted(folder.path());
        assert!(is_on_device(&path, &device));
        assert!(!is_on_device(Path::new("/proc"), &device));
        assert!(!is_on_device(&path, Path::new("/dev/null")));
        assert!(!is_on_device(&path, &path));
        assert!(!is_on_device(&path.join("missing"), &device));
        assert!(!is_on_device(&path, &device.join("missing")));
    }

    #[test]
    fn a_path_is_at_the_start_of_its_partition() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path().to_str().unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        assert_eq!(start_of_device(folder.path(), sys), None);
        let block = folder.path().join("dev/block").join(device_number(device));
        fs::create_dir_all(&block).unwrap();
        // A whole disk has no start.
        assert_eq!(start_of_device(folder.path(), sys), None);
        fs::write(block.join("start"), "2048\n").unwrap();
        assert_eq!(start_of_device(folder.path(), sys), Some(2048));
        assert_eq!(start_of_device(&folder.path().join("missing"), sys), None);
    }

    #[test]
    fn numbers_of_devices_are_those_of_the_system() {
        for (device, expected) in [
            (0xfe00, "254:0"),
            (0x1_0307, "259:7"),
            (0x1234_00ff, "1024:74751"),
        ] {
            assert_eq!(device_number(device), expected);
        }
        let null = fs::metadata("/dev/null").unwrap().rdev();
        assert_eq!(device_number(null), "1:3");
    }
}
