// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io::Read;
use std::path::Path;

use super::error::ApplyError;
use super::execution::{Applied, apply};
use super::observer::Observer;
use crate::archive::firmware_archive::{FirmwareArchive, OpenError};
use crate::destination::options::{DestinationOptions, OpenDestinationError};
use crate::destination::storage::Storage;
use crate::language::Definitions;
use crate::links;

/// Why an archive was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFileError {
    /// The input is not a firmware archive.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The destination cannot be opened.
    #[error(transparent)]
    Destination(#[from] OpenDestinationError),
    /// The task failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Applies an archive to an image or a device. A missing image is created; if it is still empty
/// after an error, it is removed again.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, or the task fails.
pub fn apply_to(
    input: impl Read,
    destination: &Path,
    task: &str,
    definitions: &mut Definitions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    let options = &DestinationOptions::default();
    apply_with(input, destination, task, definitions, options, observer)
}

/// Applies an archive like [`apply_to`], with options for the destination.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, or the task fails.
pub fn apply_with(
    input: impl Read,
    destination: &Path,
    task: &str,
    definitions: &mut Definitions,
    options: &DestinationOptions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    let input = FirmwareArchive::read(input, definitions)?;
    apply_opened(input, destination, task, options, observer)
}

/// Applies an archive like [`apply_with`], after its start was read.
///
/// # Errors
///
/// When the destination cannot be opened, or the task fails.
pub fn apply_opened<R: Read>(
    mut input: FirmwareArchive<R>,
    destination: &Path,
    task: &str,
    options: &DestinationOptions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    input.firmware.is_unsafe = options.is_unsafe;
    let is_new = !destination.exists();
    let mut device = options.open(destination, |message| observer.info(message))?;
    let result = apply(
        &mut input.entries,
        &input.firmware,
        task,
        &mut device,
        observer,
    );
    if let Some(error) = device.discard_error() {
        observer.info(&format!(
            "the disk did not discard the trimmed blocks, which is harmless: {error}"
        ));
    }
    if result.is_err() && is_new && device.into_storage().length() == 0 {
        // Removes the new file itself, not a link to it. The first error is the one to report.
        let created = links::target(destination);
        let _ = created.map(fs::remove_file);
    }
    Ok(result?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Ignores all reports.
    struct Silent;

    impl Observer for Silent {
        fn progress(&mut self, _: u64, _: u64) {}

        fn info(&mut self, _: &str) {}
    }

    #[test]
    fn a_task_that_fails_leaves_neither_a_new_image_nor_a_link_to_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("disk.img", at("link")).unwrap();
        let archive = include_bytes!("../../tests/fixtures/02-ab/out.fw");
        for destination in ["link", "disk.img"] {
            let definitions = &mut Definitions::empty();
            let (input, path) = (&archive[..], at(destination));
            apply_to(input, &path, "unknown", definitions, &mut Silent).unwrap_err();
            assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
            assert!(!at("disk.img").exists());
        }
    }
}
