// SPDX-License-Identifier: MIT OR Apache-2.0

//! Applies firmware archives to images of every format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use fwup::apply::{Applied, ApplyError, ApplyFileError, Observer, apply};
use fwup::archive::firmware_archive::{FirmwareArchive, OpenError};
use fwup::destination::{Device, WriteOptions};
use fwup::language::Definitions;

use crate::image::{Format, Image, ImageError};

/// Why an archive was not applied to an image.
#[derive(Debug, thiserror::Error)]
pub enum ApplyToImageError {
    /// The image cannot be opened.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The input is not a firmware archive.
    #[error(transparent)]
    Archive(#[from] OpenError),
    /// The task failed for a qcow2 image.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The destination is not a qcow2 image, and cannot be opened, or the task failed.
    #[error(transparent)]
    ApplyFile(#[from] ApplyFileError),
}

/// Applies an archive to a qcow2 image, a raw image or a device. Of a qcow2 image, only blocks that
/// change are written. A missing image is created as a raw one.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, the image is in use by a QEMU, or the task
/// fails.
pub fn apply_to(
    input: impl Read + Send,
    destination: &Path,
    task: &str,
    definitions: &mut Definitions,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyToImageError> {
    let format = File::open(destination).and_then(|file| Format::of(&file));
    if !matches!(format, Ok(Format::Qcow2)) {
        let applied = fwup::apply::apply_to(input, destination, task, definitions, observer);
        return Ok(applied?);
    }
    let mut archive = FirmwareArchive::read(input, definitions)?;
    let options = WriteOptions {
        minimizes: true,
        ..WriteOptions::default()
    };
    let mut device = Device::with_options(Image::open(destination, true)?, options);
    let (entries, firmware) = (&mut archive.entries, &archive.firmware);
    Ok(apply(entries, firmware, task, &mut device, observer)?)
}
