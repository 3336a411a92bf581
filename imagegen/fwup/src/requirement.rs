// SPDX-License-Identifier: MIT OR Apache-2.0

//! What must hold for a task to be chosen.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::cards::number;
use super::device::{Device, DeviceError, Storage};
use super::environment::{Environment, EnvironmentError};
use super::language::integer::unsigned;
use super::model::{Call, Firmware, Task};
use super::partitions;

/// Where Linux says where partitions are.
const SYS: &str = "/sys";

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
    // An old form, an option of the task; less than 0 is as if it was not set.
    if let Some(offset) = task.option("require-partition1-offset")
        && !offset.starts_with('-')
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
        ("require-path-at-offset", [path, offset]) => Ok(unsigned(offset)
            .is_some_and(|offset| start_of_device(Path::new(path), SYS) == Some(offset))),
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

/// The block at which the partition starts that a file is on, as the files of the system in the folder `sys` say.
fn start_of_device(path: &Path, sys: &str) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    let file = format!("{sys}/dev/block/{}/start", number(device));
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    /// A file system's folder and its block device: one that is mounted, or a device file that is made for the test.
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
            let of_folder = number(fs::metadata(folder).unwrap().dev());
            let made = Command::new("mknod")
                .arg(&device)
                .arg("b")
                .args(of_folder.split(':'))
                .status();
            assert!(
                made.is_ok_and(|status| status.success()),
                "no block device of a mounted file system is there, and mknod cannot make one; run this as root"
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
        let block = folder.path().join("dev/block").join(number(device));
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
            assert_eq!(number(device), expected);
        }
        let null = fs::metadata("/dev/null").unwrap().rdev();
        assert_eq!(number(null), "1:3");
    }
}
