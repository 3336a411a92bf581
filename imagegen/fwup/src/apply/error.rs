// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use super::requirement::RequirementError;
use super::uboot_env::UbootEnvError;
use crate::archive::read::ArchiveError;
use crate::destination::error::DeviceError;
use crate::firmware::call::CallError;

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No task has this name and requirements that hold.
    #[error(
        "Couldn't find applicable task '{0}'. If task is available, the task's requirements may not be met."
    )]
    NoTask(String),
    /// The task's own `error` action.
    #[error("{0}")]
    TaskError(String),
    /// A requirement.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The destination.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An action.
    #[error(transparent)]
    Action(#[from] CallError),
    /// An environment.
    #[error(transparent)]
    Environment(#[from] UbootEnvError),
    /// The layout of a partition table.
    #[error("mbr \"{title}\": {what}")]
    PartitionTable {
        /// The section's title.
        title: String,
        /// The error.
        what: String,
    },
    /// The parameter for the next boot cannot be kept.
    #[error("cannot store the parameter for the next boot: {0}")]
    RebootParameter(io::Error),
    /// A resource's data.
    #[error(transparent)]
    Resource(#[from] ResourceDataError),
}

/// An error in the data of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceDataError {
    /// The archive does not have it.
    #[error("the archive has no resource \"{0}\", which the task needs")]
    Missing(String),
    /// There is no `file-resource`.
    #[error("meta.conf does not declare the resource \"{0}\"")]
    Undeclared(String),
    /// There is no hash.
    #[error("meta.conf has no blake2b-256 for the resource \"{0}\"")]
    NoHash(String),
    /// An archive is read once, so its data can be written only once.
    #[error("resource \"{0}\": only one raw_write can use its data")]
    ReadTwice(String),
    /// More or less data than declared.
    #[error(
        "resource \"{name}\" has {} bytes of data, expected {expected}",
        if found > expected { format!("more than {expected}") } else { found.to_string() }
    )]
    Length {
        /// The resource.
        name: String,
        /// The length in the archive in bytes, counted up to one byte more than expected.
        found: u64,
        /// The length in `meta.conf` in bytes.
        expected: u64,
    },
    /// Other data than declared.
    #[error("resource \"{name}\" is damaged: its BLAKE2b-256 is {found}, expected {expected}")]
    Hash {
        /// The resource.
        name: String,
        /// The hash of the data.
        found: String,
        /// The hash in `meta.conf`.
        expected: String,
    },
    /// The difference to another version.
    #[error("resource \"{0}\": delta updates are not supported yet")]
    Delta(String),
    /// Its lengths cannot be added up.
    #[error("resource \"{0}\": its lengths add up to more than any disk has")]
    TooLong(String),
}
