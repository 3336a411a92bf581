// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reasons that a host with KVM did not run its guests.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::running::{Log, RunError};

/// The reason that a host with KVM did not run its guests. A guest that failed is not an error
/// here: its status shows it.
#[derive(Debug, Error)]
pub enum HostError {
    /// A file could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The machine has no transport left.
    #[error("the guests have {0} disks; a host takes at most {1}: divide the guests among hosts")]
    Disks(usize, usize),
    /// The host did not run to its end.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The host left no result for a guest.
    #[error("the host left no {what} of the guest {guest}{log}")]
    NoResult {
        /// The missing file.
        what: &'static str,
        /// The guest's name.
        guest: String,
        /// The host's command and console.
        log: Box<Log>,
    },
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io { path, source }
}
