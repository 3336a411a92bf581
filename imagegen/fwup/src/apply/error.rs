// SPDX-License-Identifier: MIT OR Apache-2.0

use std::error::Error as _;
use std::io;

use vcdiff_stream::decode::DeltaError;

use super::hashing::HashingError;
use super::outside::OutsideError;
use super::requirement::RequirementError;
use super::uboot_env::UbootEnvError;
use crate::archive::read::ArchiveError;
use crate::destination::error::DeviceError;
use crate::firmware::call::CallError;
use crate::firmware::delta_source::DeltaSourceError;

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No task with this prefix has requirements that hold.
    #[error(
        "Couldn't find applicable task '{0}'. If task is available, the task's requirements may not be met."
    )]
    NoTask(String),
    /// The task's own `error` action.
    #[error("{0}")]
    TaskError(String),
    /// A requirement cannot be evaluated.
    #[error(transparent)]
    Requirement(#[from] RequirementError),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The destination cannot be read or written.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An action is invalid.
    #[error(transparent)]
    Action(#[from] CallError),
    /// An environment cannot be used.
    #[error(transparent)]
    Environment(#[from] UbootEnvError),
    /// The layout of a partition table is invalid.
    #[error("{kind} \"{title}\": {what}")]
    PartitionTable {
        /// `mbr` or `gpt`.
        kind: &'static str,
        /// The section's title.
        title: String,
        /// The error.
        what: String,
    },
    /// The parameter for the next boot cannot be stored.
    #[error("cannot store the parameter for the next boot: {0}")]
    RebootParameter(io::Error),
    /// An action outside the destination failed, or is not allowed.
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// The data cannot be hashed.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// The thread that unpacks has failed.
    #[error(transparent)]
    Unpacking(#[from] UnpackingError),
    /// A resource is a delta that cannot be applied.
    #[error("resource \"{resource}\": its delta cannot be applied: {error}")]
    Delta {
        /// The resource.
        resource: String,
        /// The error in the delta or in its source.
        error: Box<DeltaError>,
    },
    /// The source of a delta cannot be read.
    #[error("resource \"{resource}\": the source of its delta cannot be read: {error}")]
    DeltaSource {
        /// The resource.
        resource: String,
        /// The error.
        error: io::Error,
    },
    /// The `delta-source-…` options of a resource are invalid.
    #[error("on-resource \"{resource}\": {error}")]
    DeltaOptions {
        /// The resource.
        resource: String,
        /// The error.
        error: DeltaSourceError,
    },
    /// An action on a FAT file system failed.
    #[error(transparent)]
    Fat(#[from] FatActionError),
    /// A resource's data is missing or wrong.
    #[error(transparent)]
    Resource(#[from] ResourceDataError),
}

/// The thread that unpacks has ended too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that unpacks the data has failed; try again, with more free memory")]
pub struct UnpackingError;

/// An action on a FAT file system failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{action}{}{path}: {error}{}",
    if path.is_empty() { "" } else { " " },
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
)]
pub struct FatActionError {
    action: &'static str,
    path: String,
    error: fat_volume::Error,
}

impl FatActionError {
    pub(super) fn new(action: &'static str, path: &str, error: fat_volume::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            error,
        }
    }
}

/// An error in the data of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceDataError {
    /// The archive does not contain the resource.
    #[error("the archive has no resource \"{0}\", which the task needs")]
    Missing(String),
    /// The archive contains the resource twice.
    #[error("the archive has two entries for the resource \"{0}\", expected one; make it again")]
    Repeated(String),
    /// `meta.conf` has no `file-resource` for it.
    #[error("meta.conf does not declare the resource \"{0}\"")]
    Undeclared(String),
    /// Its `file-resource` has no hash.
    #[error("meta.conf has no blake2b-256 for the resource \"{0}\"")]
    NoHash(String),
    /// A delta would overwrite its source.
    #[error(
        "resource \"{0}\": its delta would be written over its own source; write it to another file"
    )]
    OverwritesSource(String),
    /// An archive is read once, so its data can be written only once.
    #[error("resource \"{0}\": only one action can use its data, such as one raw_write")]
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
    /// The data does not have the declared hash.
    #[error("resource \"{name}\" is damaged: its BLAKE2b-256 is {found}, expected {expected}")]
    Hash {
        /// The resource.
        name: String,
        /// The hash of the data.
        found: String,
        /// The hash in `meta.conf`.
        expected: String,
    },
    /// The sum of its lengths overflows.
    #[error("resource \"{0}\": its lengths add up to more than any disk has")]
    TooLong(String),
}
