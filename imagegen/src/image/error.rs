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
        error: io::Error,
    },
}
