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

/// Why an archive was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFileError {
    /// It is not a firmware archive.
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
    let mut input = FirmwareArchive::read(input, definitions)?;
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
            "the disk did not discard what was trimmed, which does no harm: {error}"
        ));
    }
    if result.is_err() && is_new && device.into_storage().length() == 0 {
        // The first error is the one to report.
        let _ = fs::remove_file(destination);
    }
    Ok(result?)
}
