// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::source::SourceError;
use super::write_archive::{CreateError, Created, Packing, creation_date, write_archive};
use crate::language::{self, Definitions, LanguageError};
use crate::output::Output;

/// Why no archive was made. The first two messages are fwup's.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The configuration is invalid.
    #[error("Error parsing configuration file '{path}'")]
    Language {
        /// The configuration.
        path: String,
        /// The error in it.
        error: Box<LanguageError>,
    },
    /// The configuration cannot be read.
    #[error("Error opening configuration file '{path}'")]
    Configuration {
        /// The configuration.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The archive cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The archive cannot be written.
    #[error("cannot write '{path}'")]
    Output {
        /// The archive.
        path: String,
        /// The system's error.
        source: io::Error,
    },
}

impl PackError {
    /// Whether fwup's message needs no cause: a file is missing, or the error in the configuration
    /// is printed separately.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Language { .. } => true,
            Self::Configuration { source, .. }
            | Self::Create(CreateError::Source(SourceError::Open { source, .. })) => {
                source.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }
}

/// Makes an archive from a configuration; `-` is stdin or stdout. An output file appears complete
/// or not at all.
///
/// # Errors
///
/// Every [`PackError`].
pub fn pack<'a>(
    configuration: &Path,
    archive: &Path,
    packing: impl Into<Packing<'a>>,
    definitions: &mut Definitions,
    progress: impl FnMut(u64, u64),
) -> Result<Created, PackError> {
    let date = creation_date(definitions)?;
    let path = configuration.to_string_lossy().into_owned();
    let unreadable = |source| PackError::Configuration {
        path: path.clone(),
        source,
    };
    let read = if configuration == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map_err(unreadable)?;
        language::configuration(bytes, "stdin", PathBuf::new(), definitions)
    } else {
        language::read_file(configuration, definitions).map_err(unreadable)?
    };
    let mut firmware = read.map_err(|error| PackError::Language {
        path: path.clone(),
        error: Box::new(error),
    })?;
    if archive == Path::new("-") {
        let out = io::stdout().lock();
        return Ok(write_archive(&mut firmware, out, packing, date, progress)?);
    }
    let unwritable = |source| PackError::Output {
        path: archive.to_string_lossy().into_owned(),
        source,
    };
    let mut output = Output::create(archive).map_err(unwritable)?;
    let created = write_archive(&mut firmware, &mut output, packing, date, progress)?;
    output.finish().map_err(unwritable)?;
    Ok(created)
}
