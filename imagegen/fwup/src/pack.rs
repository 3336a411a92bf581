// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes an archive file from a configuration file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::archive::write::Level;
use super::create::{self, CreateError, Created};
use super::language::{self, Environment, LanguageError};
use super::resource::ResourceError;
use crate::output::Output;

/// Why no archive was made. The first three are worded as fwup words them.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The configuration is wrong.
    #[error("Error parsing configuration file '{path}'")]
    Language {
        /// The configuration.
        path: String,
        /// What is wrong, and where.
        error: Box<LanguageError>,
    },
    /// The configuration cannot be read.
    #[error("Error opening configuration file '{path}'")]
    Configuration {
        /// The configuration.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The archive cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The archive cannot be put in its place.
    #[error("cannot write '{path}'")]
    Output {
        /// The archive.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl PackError {
    /// Whether fwup's sentence for it says all: a file is not there, or what is wrong with the configuration is told elsewhere.
    #[must_use]
    pub fn is_told_in_full(&self) -> bool {
        match self {
            Self::Language { .. } => true,
            Self::Configuration { source, .. }
            | Self::Create(CreateError::Resource(ResourceError::Open { source, .. })) => {
                source.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }
}

/// Makes the archive of a configuration; `-` is stdin or stdout. A file appears whole or not at all.
///
/// # Errors
///
/// Every [`PackError`].
pub fn pack(
    configuration: &Path,
    archive: &Path,
    level: Level,
    environment: &mut Environment,
    progress: impl FnMut(u64, u64),
) -> Result<Created, PackError> {
    let date = create::date(environment)?;
    let path = configuration.to_string_lossy().into_owned();
    let unreadable = |source| PackError::Configuration {
        path: path.clone(),
        source,
    };
    let read = if configuration == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map_err(unreadable)?;
        language::configuration(bytes, "stdin", PathBuf::new(), environment)
    } else {
        language::read_file(configuration, environment).map_err(unreadable)?
    };
    let mut firmware = read.map_err(|error| PackError::Language {
        path: path.clone(),
        error: Box::new(error),
    })?;
    if archive == Path::new("-") {
        let out = io::stdout().lock();
        return Ok(create::create(&mut firmware, out, level, date, progress)?);
    }
    let unwritable = |source| PackError::Output {
        path: archive.to_string_lossy().into_owned(),
        source,
    };
    let mut output = Output::create(archive).map_err(unwritable)?;
    let created = create::create(&mut firmware, &mut output, level, date, progress)?;
    output.finish().map_err(unwritable)?;
    Ok(created)
}
