// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disks of the guests: overlays of one image.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use qemu_harness::process;

use crate::error::FleetError;

/// Creates the overlay `disk` of the raw image at `image`.
///
/// # Errors
/// When it cannot be written.
pub fn create(disk: &Path, image: &Path) -> Result<(), FleetError> {
    let mut command = Command::new("qemu-img");
    command
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(image)
        .arg(disk);
    process::capture(&mut command, Duration::from_secs(60))
        .map(drop)
        .map_err(|error| FleetError::Refused(error.to_string()))
}
