// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::Path;

use super::device::{Device, WriteOptions};
use super::open::DestinationError;
use super::storage::DiskFile;
use super::unmount::{UnmountError, unmount};

/// The treatment of mounted file systems of a block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounts {
    /// Mounted file systems are an error, like any other use of the device.
    #[default]
    Refuse,
    /// File systems are unmounted, then the device is opened exclusively (`-u`).
    Unmount,
    /// File systems stay mounted, and the device is written anyway (`-U`), so that a system can
    /// upgrade the disk that it runs from.
    Keep,
}

/// How to open and write the destination. By default, writes to block devices are verified, and
/// writes to files are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationOptions {
    /// The treatment of mounted file systems of a block device.
    pub mounts: Mounts,
    /// Data is read back and compared after each write (`--verify-writes`).
    pub verifies: Option<bool>,
    /// Only blocks that change are written (`--minimize-writes`).
    pub minimizes: bool,
    /// Trimmed blocks of a disk are discarded (`--enable-trim`).
    pub trims: bool,
    /// The maximum number of bytes of the destination to use (`--max-size`).
    pub max_size: Option<u64>,
    /// Tasks may run programs (`--unsafe`).
    pub is_unsafe: bool,
}

/// Why a destination cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDestinationError {
    /// The file or device cannot be opened.
    #[error(transparent)]
    Open(#[from] DestinationError),
    /// A file system on the device cannot be unmounted.
    #[error(transparent)]
    Unmount(#[from] UnmountError),
}

impl DestinationOptions {
    /// Opens a destination. `warn` receives a message for an option that has no effect.
    ///
    /// # Errors
    ///
    /// Every [`OpenDestinationError`].
    pub fn open(
        &self,
        path: &Path,
        mut warn: impl FnMut(&str),
    ) -> Result<Device<DiskFile>, OpenDestinationError> {
        let file = match self.mounts {
            Mounts::Keep => DiskFile::open_shared(path)?,
            Mounts::Refuse => DiskFile::open(path)?,
            Mounts::Unmount => {
                unmount(path)?;
                DiskFile::open(path)?
            }
        };
        let is_regular = file.is_regular();
        if self.trims && is_regular {
            warn("--enable-trim has no effect: the destination is a regular file");
        }
        let options = WriteOptions {
            verifies: self.verifies.unwrap_or(!is_regular),
            minimizes: self.minimizes,
            discards: self.trims && !is_regular,
            limit: self.max_size,
        };
        Ok(Device::with_options(file, options))
    }
}
