// SPDX-License-Identifier: MIT OR Apache-2.0

//! The devices that files are on, as Linux describes them in `/sys`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Dir;
use system_calls::{DeviceNumbers, device_numbers};

use crate::destination::block_devices::{device_number, line};

/// The number of layers to look through between a file system and its disk, the same as fwup's: for
/// example encryption on top of a logical volume.
const LAYERS: usize = 3;

/// Checks that a file is on the file system of a block device, or of one that is made of it, such as
/// an encrypted one. `sys` is a folder like `/sys`.
///
/// # Errors
///
/// What was found instead.
pub(super) fn on_device(path: &str, device: &str, sys: &Path) -> Result<(), String> {
    let Some(expected) = numbers(device)?.block_device else {
        return Err(format!("{device} is not a block device"));
    };
    let expected = device_number(expected);
    let of_path = device_of(path)?;
    if is_made_of(&of_path, &expected, sys, LAYERS) {
        return Ok(());
    }
    Err(format!(
        "{path} is on device {of_path}, and {device} is device {expected}"
    ))
}

/// Whether a device is another one or made of it, through at most `layers` layers. Both are numbers
/// such as `8:1`.
fn is_made_of(device: &str, part: &str, sys: &Path, layers: usize) -> bool {
    if device == part {
        return true;
    }
    let Some(layers) = layers.checked_sub(1) else {
        return false;
    };
    let parts = sys.join("dev/block").join(device).join("slaves");
    names(&parts).any(|name| {
        let number = line(&parts.join(name).join("dev"));
        number.is_some_and(|number| is_made_of(&number, part, sys, layers))
    })
}

/// Returns the names in a folder; none if it cannot be read.
fn names(folder: &Path) -> impl Iterator<Item = OsString> {
    // A program that shows a test another /sys sees the folder opened like this.
    let opened = File::open(folder).ok();
    let entries = opened.and_then(|opened| Dir::new(opened).ok());
    entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        .filter(|name| name != "." && name != "..")
}

/// Checks that a file is on a partition that starts at a block. `sys` is a folder like `/sys`.
///
/// # Errors
///
/// What was found instead.
pub(super) fn at_offset(path: &str, offset: u64, sys: &Path) -> Result<(), String> {
    let device = device_of(path)?;
    let start = line(&sys.join("dev/block").join(&device).join("start"));
    match start.as_deref().map(str::parse) {
        Some(Ok(start)) if offset == start => Ok(()),
        Some(Ok::<u64, _>(start)) => Err(format!("{path} is on a partition at block {start}")),
        _ => Err(format!(
            "{path} is on device {device}, which is not a partition"
        )),
    }
}

/// Returns the number of the device that a file is on.
fn device_of(path: &str) -> Result<String, String> {
    Ok(device_number(numbers(path)?.file_system))
}

fn numbers(path: &str) -> Result<DeviceNumbers, String> {
    device_numbers(Path::new(path)).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
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
        let on = |path: &Path, device: &Path| {
            let sys = Path::new("/sys");
            on_device(path.to_str().unwrap(), device.to_str().unwrap(), sys)
        };
        on(&path, &device).unwrap();
        let found = on(Path::new("/proc"), &device).unwrap_err();
        assert!(found.starts_with("/proc is on device 0:"), "{found}");
        let found = on(&path, Path::new("/dev/null")).unwrap_err();
        assert_eq!(found, "/dev/null is not a block device");
        on(&path, &path).unwrap_err();
        let found = on(&path.join("missing"), &device).unwrap_err();
        assert!(found.contains("missing: No such file"), "{found}");
        on(&path, &device.join("missing")).unwrap_err();
    }

    #[test]
    fn a_path_is_at_the_start_of_its_partition() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let at = |offset| at_offset(path, offset, folder.path());
        let number = device_number(fs::metadata(folder.path()).unwrap().dev());
        let none = format!("{path} is on device {number}, which is not a partition");
        assert_eq!(at(0).unwrap_err(), none);
        let block = folder.path().join("dev/block").join(&number);
        fs::create_dir_all(&block).unwrap();
        // A whole disk has no start.
        assert_eq!(at(0).unwrap_err(), none);
        fs::write(block.join("start"), "2048\n").unwrap();
        at(2048).unwrap();
        let found = at(2049).unwrap_err();
        assert_eq!(found, format!("{path} is on a partition at block 2048"));
        at_offset("/missing", 0, folder.path()).unwrap_err();
    }

    #[test]
    fn a_device_is_made_of_others_through_three_layers() {
        let sys = tempfile::tempdir().unwrap();
        let made_of = |device: &str, parts: &[&str]| {
            for part in parts {
                let slaves = sys.path().join("dev/block").join(device).join("slaves");
                let part_folder = slaves.join(part.replace(':', "p"));
                fs::create_dir_all(&part_folder).unwrap();
                fs::write(part_folder.join("dev"), format!("{part}\n")).unwrap();
            }
        };
        made_of("254:0", &["1:1", "179:2", "1:2"]);
        made_of("254:1", &["254:0"]);
        made_of("254:2", &["7:0", "254:1"]);
        made_of("254:3", &["254:2"]);
        // A loop ends.
        made_of("7:0", &["7:0"]);
        let is = |device: &str| is_made_of(device, "179:2", sys.path(), LAYERS);
        for device in ["179:2", "254:0", "254:1", "254:2"] {
            assert!(is(device), "{device}");
        }
        for device in ["254:3", "7:0", "1:1", "8:0"] {
            assert!(!is(device), "{device}");
        }
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
