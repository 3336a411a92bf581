// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::path::PathBuf;

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be opened.
    #[error("cannot open {}: {error}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A QEMU or another program uses the image.
    #[error(
        "{} is in use: a running QEMU has opened it, or another program is changing it; stop the guest, and try again",
        .0.display()
    )]
    InUse(PathBuf),
    /// The file is not a qcow2 image that can be read, or its backing file cannot be opened.
    #[error("cannot open the qcow2 image {}: {error}", .path.display())]
    Qcow2 {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: Qcow2Error,
    },
}

/// Why a qcow2 image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Qcow2Error {
    /// A change of the image was interrupted.
    #[error(
        "a change of it was interrupted; start its guest, or run qemu-img check -r all on it, either of which repairs it"
    )]
    Dirty,
    /// The image has the version 2 of the format.
    #[error(
        "it has version 2 of the format, which is only read; run qemu-img amend -o compat=1.1 on it"
    )]
    Old,
    /// The image is damaged or has unknown features, or its backing file cannot be opened.
    #[error(transparent)]
    Io(#[from] io::Error),
}
