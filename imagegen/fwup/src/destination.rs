// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a destination is opened and written to, as fwup's options have it.

use std::path::Path;

use super::apply::Observer;
use super::device::{DestinationError, Device, DiskFile, Settings};
use super::mounts::{self, UnmountError};

/// What becomes of what is mounted of a block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounted {
    /// It is an error, as is any other use of the device.
    #[default]
    Refused,
    /// It is unmounted; then nobody else may have the device (`-u`).
    Unmounted,
    /// It stays, and the device is written to nevertheless (`-U`): so a system upgrades the disk that it runs from.
    Left,
}

/// What is asked for about the destination. By default block devices are verified and files are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writing {
    /// What becomes of what is mounted of a block device.
    pub mounted: Mounted,
    /// What is written is read back and compared (`--verify-writes`).
    pub verifies: Option<bool>,
    /// What is there already is not written again (`--minimize-writes`).
    pub minimizes: bool,
    /// Disks are told what is trimmed (`--enable-trim`).
    pub trims: bool,
    /// Where the destination ends at the latest, in bytes (`--max-size`).
    pub max_size: Option<u64>,
    /// Tasks may run programs (`--unsafe`).
    pub is_unsafe: bool,
}

/// Why a destination is not there to be written to.
#[derive(Debug, thiserror::Error)]
pub enum OpenDestinationError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] DestinationError),
    /// It stays mounted.
    #[error(transparent)]
    Unmount(#[from] UnmountError),
}

impl Writing {
    /// Opens a destination.
    ///
    /// # Errors
    ///
    /// Every [`OpenDestinationError`].
    pub fn open(
        &self,
        path: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Device<DiskFile>, OpenDestinationError> {
        let file = match self.mounted {
            Mounted::Left => DiskFile::open_shared(path)?,
            Mounted::Refused => DiskFile::open(path)?,
            Mounted::Unmounted => {
                mounts::unmount(path)?;
                DiskFile::open(path)?
            }
        };
        let is_regular = file.is_regular();
        if self.trims && is_regular {
            observer.info("--enable-trim has no effect: the destination is a regular file");
        }
        let settings = Settings {
            verifies: self.verifies.unwrap_or(!is_regular),
            minimizes: self.minimizes,
            discards: self.trims && !is_regular,
            limit: self.max_size,
        };
        Ok(Device::with(file, settings))
    }
}
