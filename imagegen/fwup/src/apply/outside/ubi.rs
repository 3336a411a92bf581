// SPDX-License-Identifier: MIT OR Apache-2.0

//! UBI volumes on raw flash. The update of a volume starts with an ioctl that the standard library
//! does not have, so the program `ubiupdatevol` of mtd-utils does it. The volume has its new
//! contents only after all of them have been written.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use super::error::OutsideError;
use crate::destination::block_devices::device_number;

/// Returns the command that writes `length` bytes from its stdin to a volume.
pub(super) fn update(volume: &str, length: u64) -> Result<Command, OutsideError> {
    if !is_volume(Path::new(volume), Path::new("/sys")) {
        return Err(OutsideError::NotUbi(volume.to_owned()));
    }
    let mut command = Command::new("ubiupdatevol");
    command
        .arg("-s")
        .arg(length.to_string())
        .args([volume, "-"]);
    Ok(command)
}

/// Whether Linux describes this device as a UBI volume, in a folder like `/sys`.
fn is_volume(path: &Path, sys: &Path) -> bool {
    let Ok(found) = fs::metadata(path) else {
        return false;
    };
    let device = sys.join("dev/char").join(device_number(found.rdev()));
    // Only volumes have this attribute.
    found.file_type().is_char_device() && device.join("upd_marker").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_device_that_linux_describes_as_one() {
        let sys = tempfile::tempdir().unwrap();
        let null = Path::new("/dev/null");
        assert!(!is_volume(null, sys.path()));
        let device = sys.path().join("dev/char/1:3");
        fs::create_dir_all(&device).unwrap();
        assert!(!is_volume(null, sys.path()));
        fs::write(device.join("upd_marker"), "0\n").unwrap();
        assert!(is_volume(null, sys.path()));
        assert!(!is_volume(&device, sys.path()));
        assert!(!is_volume(&device.join("gone"), sys.path()));
        assert!(matches!(
            update("/dev/null", 1),
            Err(OutsideError::NotUbi(_))
        ));
    }
}
