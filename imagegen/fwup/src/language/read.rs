// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::path::{Path, PathBuf};

use super::definitions::Definitions;
use super::error::LanguageError;
use super::lexer::Lexer;
use super::parser::Parser;
use super::sources;
use crate::firmware::model::{Firmware, Stage};

/// Reads a configuration from a file, and adds its variables to `definitions`.
///
/// # Errors
///
/// The inner error is in the configuration; the outer one occurred while reading the file.
pub fn read_file(
    path: &Path,
    definitions: &mut Definitions,
) -> io::Result<Result<Firmware, LanguageError>> {
    let bytes = sources::read_limited(path)?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(configuration(
        bytes,
        &path.to_string_lossy(),
        folder,
        definitions,
    ))
}

/// Reads a configuration from bytes. Errors refer to it as `name`; relative paths start from
/// `folder`.
///
/// # Errors
///
/// Errors in the configuration.
pub fn configuration(
    bytes: Vec<u8>,
    name: &str,
    folder: PathBuf,
    definitions: &mut Definitions,
) -> Result<Firmware, LanguageError> {
    // Both are hashes of meta.conf, so they remain variables until the archive is applied.
    for name in ["FWUP_META_UUID", "FWUP_META_NICKNAME"] {
        definitions.set(name, format!("${{{name}}}"));
    }
    Parser::new(Lexer::new(bytes, name, folder), Stage::Create, definitions).run()
}

/// Reads the `meta.conf` of an archive with the variables of the device. Unknown options and
/// sections are ignored: a newer fwup may have written them.
///
/// # Errors
///
/// Errors in the configuration.
pub fn meta_conf(bytes: &[u8], definitions: &mut Definitions) -> Result<Firmware, LanguageError> {
    let lexer = Lexer::new(bytes.to_vec(), "meta.conf", PathBuf::new());
    Parser::new(lexer, Stage::Apply, definitions).run()
}
