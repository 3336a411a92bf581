// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::process::ExitStatus;

/// Why an action outside the destination failed.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The user has not allowed it.
    #[error(
        "{0} requires --unsafe, which lets the archive run programs and write to any file; use it only with an archive that you trust"
    )]
    Refused(&'static str),
    /// A file cannot be opened or written.
    #[error("{action}: cannot {what} '{path}': {error}")]
    File {
        /// The action.
        action: &'static str,
        /// `open`, `update` or `write`.
        what: &'static str,
        /// The file.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// The program cannot be started or waited for.
    #[error("{action} cannot run '{command}': {error}")]
    Run {
        /// The action.
        action: &'static str,
        /// The command.
        command: String,
        /// The system's error.
        error: io::Error,
    },
    /// The program failed.
    #[error("{action}: '{command}' failed with {status}")]
    Failed {
        /// The action.
        action: &'static str,
        /// The command.
        command: String,
        /// Its exit status, or the signal that ended it.
        status: ExitStatus,
    },
    /// The program does not take all data.
    #[error("{action}: '{command}' did not take all data: {error}")]
    Input {
        /// The action.
        action: &'static str,
        /// The command.
        command: String,
        /// The system's error.
        error: io::Error,
    },
    /// The file is not a UBI volume.
    #[error(
        "ubi_volume_write: '{0}' is not a UBI volume, such as /dev/ubi0_3; /sys/class/ubi lists those of this system"
    )]
    NotUbi(String),
    /// The volume is too small.
    #[error(
        "ubi_volume_write: '{path}' cannot hold {length} bytes; data_bytes of the volume in /sys/class/ubi shows how much it does"
    )]
    TooLargeForUbi {
        /// The volume.
        path: String,
        /// The length of the resource in bytes.
        length: u64,
    },
}
