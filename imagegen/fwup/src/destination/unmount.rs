// SPDX-License-Identifier: MIT OR Apache-2.0

//! Unmounts a disk and its partitions before it is written.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::block_devices::{device_number, disk_numbers};

/// Why a device cannot be unmounted.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// The list of mounts cannot be read.
    #[error("cannot read /proc/self/mountinfo: {0}; -U unmounts nothing")]
    List(io::Error),
    /// The program `umount` cannot be run.
    #[error("cannot run umount: {0}; -U unmounts nothing")]
    Program(io::Error),
    /// `umount` failed.
    #[error("cannot unmount {point}: {message}")]
    Refused {
        /// The mount point.
        point: String,
        /// The message of `umount`.
        message: String,
    },
}

/// Unmounts a block device and its partitions, the last mount first. Does nothing for any other
/// file. Runs the program `umount`, which may be able to unmount for users without that privilege.
///
/// # Errors
///
/// When a mount cannot be unmounted.
pub(super) fn unmount(device: &Path) -> Result<(), UnmountError> {
    let Some(number) = number_of(device) else {
        return Ok(());
    };
    let own = disk_numbers(&Path::new("/sys/dev/block").join(&number));
    let mounts = fs::read("/proc/self/mountinfo").map_err(UnmountError::List)?;
    let points = mounted(&mounts, |mounted, source| {
        // Some file systems, such as btrfs, have a device number that is not a disk's, but their
        // source is a disk.
        let source = number_of(source);
        let is_own = |found: &str| found == number || own.iter().any(|own| own == found);
        is_own(mounted) || source.is_some_and(|source| is_own(&source))
    });
    for point in points.iter().rev() {
        let output = Command::new("umount").arg(point).output();
        let output = output.map_err(UnmountError::Program)?;
        if !output.status.success() {
            return Err(UnmountError::Refused {
                point: point.display().to_string(),
                message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
    }
    Ok(())
}

/// Returns the number of a block device, as `major:minor`.
fn number_of(device: &Path) -> Option<String> {
    let found = fs::metadata(device).ok()?;
    let is_block = found.file_type().is_block_device();
    is_block.then(|| device_number(found.rdev()))
}

/// Returns the mount points for whose device number and source `is_own` is true, in the order of
/// mounting. The format is that of proc_pid_mountinfo(5): id, parent, device number, root, mount
/// point, options, any number of fields, `-`, type, source, options.
fn mounted(mountinfo: &[u8], is_own: impl Fn(&str, &Path) -> bool) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let number = str::from_utf8(fields.nth(2)?).ok()?;
            let point = fields.nth(1)?;
            fields.find(|field| *field == b"-")?;
            let source = unescaped(fields.nth(1)?);
            is_own(number, &source).then(|| unescaped(point))
        })
        .collect()
}

/// Decodes a field: spaces, tabs, line feeds and backslashes are encoded as a backslash and three
/// octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..3)
            .and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_a_disk_are_found_by_number_and_source() {
        let mountinfo = b"21 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n\
            40 21 8:17 / /media/card rw shared:2 master:1 - vfat /dev/sdb1 rw,uid=1\n\
            41 21 8:170 / /media/other rw - vfat /dev/sdk10 rw\n\
            42 40 0:53 /@ /media/card/with\\040space rw - btrfs /dev/sdb2 rw\n\
            43 21 0:21 / /proc rw - proc proc rw\n\
            44 21 8:17 / /back\\134slash\\011tab rw - vfat /dev/sdb1 rw\n\
            45 broken\n";
        let points = mounted(mountinfo, |number, source| {
            number == "8:17" || source == Path::new("/dev/sdb2")
        });
        assert_eq!(
            points,
            ["/media/card", "/media/card/with space", "/back\\slash\ttab"].map(PathBuf::from)
        );
        assert_eq!(unescaped(b"\\9\\12"), Path::new("\\9\\12"));
    }

    #[test]
    fn an_image_has_nothing_to_unmount() {
        let image = tempfile::NamedTempFile::new().unwrap();
        unmount(image.path()).unwrap();
        unmount(Path::new("/no/such/device")).unwrap();
    }
}
