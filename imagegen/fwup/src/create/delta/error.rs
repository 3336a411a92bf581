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
    /// A delta cannot be made.
    #[error(transparent)]
    Encode(EncodeError),
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Output(#[from] io::Error),
}

impl From<EncodeError> for DeltaArchiveError {
    /// The encoder reads the new archive; its errors are not the encoder's.
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Target { offset, error } => match error.downcast() {
                Ok(error) => error,
                Err(error) => Self::Encode(EncodeError::Target { offset, error }),
            },
            EncodeError::Sink(error) => Self::Output(error),
            error => Self::Encode(error),
        }
    }
}
