// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use vcdiff_stream::encode::EncodeError;

use crate::archive::firmware_archive::OpenError;
use crate::archive::read::ArchiveError;

/// Why no delta archive was made.
#[derive(Debug, thiserror::Error)]
pub enum DeltaArchiveError {
    /// An archive is not a firmware archive.
    #[error("the {which} archive: {error}")]
    Open {
        /// `old` or `new`.
        which: &'static str,
        /// The error.
        error: Box<OpenError>,
    },
    /// The file of an archive cannot be opened.
    #[error("the {which} archive cannot be opened: {error}")]
    File {
        /// `old` or `new`.
        which: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// An archive cannot be read.
    #[error("the {which} archive: {error}")]
    Read {
        /// `old` or `new`.
        which: &'static str,
        /// The error.
        error: ArchiveError,
    },
    /// No task of the new archive can apply deltas.
    #[error(
        "no task of the new archive can apply a delta: add delta-source-raw-offset and delta-source-raw-count, or delta-source-fat-offset and delta-source-fat-path, to the on-resource of a resource without holes"
    )]
    NoSource,
    /// The data of a resource is not what `meta.conf` says.
    #[error(
        "the {which} archive: the data of file-resource '{resource}' is damaged, or a delta itself"
    )]
    Damaged {
        /// `old` or `new`.
        which: &'static str,
        /// The resource.
        resource: String,
    },
    /// The new archive has not all resources of its `meta.conf`.
    #[error("the new archive has no data of file-resource '{0}'; make it again, or copy it again")]
    Missing(String),
    /// An entry of the new archive occurs twice.
    #[error("the new archive has data of file-resource '{0}' twice; make it again")]
    Twice(String),
    /// A temporary file cannot be written.
    #[error("cannot write a temporary file: {0}; TMPDIR chooses a folder with more room")]
    Temporary(io::Error),
    /// A delta cannot be made.
    #[error(transparent)]
    Encode(EncodeError),
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Output(#[from] io::Error),
}

impl From<EncodeError> for DeltaArchiveError {
    /// The encoder reads the new archive and writes a temporary file, whose errors are not its own.
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Target { offset, error } => match error.downcast() {
                Ok(error) => error,
                Err(error) => Self::Encode(EncodeError::Target { offset, error }),
            },
            EncodeError::Sink(error) => Self::Temporary(error),
            error => Self::Encode(error),
        }
    }
}
