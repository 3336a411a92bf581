// SPDX-License-Identifier: MIT OR Apache-2.0

//! The language of configurations, and of the `meta.conf` in archives, which is the same with fewer words.
//!
//! It is that of libconfuse: options, sections and calls, read from front to back. Variables have the values that they have
//! at the moment in which they are read; `define` changes them for what follows.
//!
//! Everything that a text could use to take long or to take much memory has a limit: the depth and the number of includes, the
//! length of one text, and the sum of all of them.

mod arithmetic;
mod check;
mod convert;
mod environment;
pub mod integer;
mod lexer;
mod parser;
pub(super) mod schema;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use self::arithmetic::ArithmeticError;
pub use self::environment::Environment;
use self::lexer::Lexer;
use self::parser::{Mode, Parser};
use super::model::Firmware;

/// The version of fwup whose configurations are understood.
pub const FWUP_VERSION: &str = "1.16.0";

/// The largest configuration, in bytes, includes and values of variables counted.
const LARGEST: usize = 16 << 20;

/// What is wrong in a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct LanguageError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Problem {
    #[error("no such option '{0}'")]
    UnknownOption(String),
    #[error("syntax error in call of function '{0}'")]
    Call(String),
    #[error("expected '(' behind '{0}'")]
    NoCall(String),
    #[error("expected '=' after option '{name}', found {found}")]
    NoEquals { name: String, found: String },
    #[error("option '{0}' is no list, so nothing can be added to it; write '='")]
    NoList(String),
    #[error("expected a value for option '{name}', found {found}")]
    NoValue { name: String, found: String },
    #[error("option '{name}' needs a whole number, found '{value}'")]
    Integer { name: String, value: String },
    #[error("option '{name}' needs true or false, found '{value}'")]
    Boolean { name: String, value: String },
    #[error("a section '{0}' needs a title")]
    NoTitle(String),
    #[error("expected '{{' to open section '{0}'")]
    NoBrace(String),
    #[error("{section} '{title}' is there already")]
    Duplicate { section: String, title: String },
    #[error("{0} cannot stand here")]
    Unexpected(String),
    #[error("'}}' closes nothing")]
    UnexpectedClose,
    #[error("the file ends inside a section: a '}}' is missing")]
    PrematureEnd,
    #[error("a text in quotes is not closed")]
    UnclosedText,
    #[error("a comment that starts with '/*' is not closed")]
    UnclosedComment,
    #[error("'\\{0}' is no character; write one to three octal digits, at most \\377")]
    Escape(String),
    #[error("a text holds a NUL byte")]
    Nul,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("a text is longer than 1 MiB")]
    TooLong,
    #[error("the configuration is larger than 16 MiB, includes and values of variables counted")]
    TooLarge,
    #[error("'{name}' takes {expected}, found {found} arguments")]
    Arguments {
        name: String,
        expected: &'static str,
        found: usize,
    },
    #[error("cannot evaluate '{text}': {error}")]
    Arithmetic {
        text: String,
        error: ArithmeticError,
    },
    #[error("'include' needs a path, found an empty text; is a variable not set?")]
    EmptyInclude,
    #[error("cannot include '{path}': {reason}")]
    Include { path: String, reason: String },
    #[error("includes are nested more than 10 deep")]
    IncludeDepth,
    #[error("more than 1000 includes")]
    Includes,
    #[error(
        "this needs fwup version '{0}'; what is understood here is that of version {FWUP_VERSION}"
    )]
    NewerVersion(String),
    #[error("require-fwup-version needs a version such as 1.2.3, found '{0}'")]
    BadVersion(String),
    #[error("'{0}' is not supported yet")]
    Unsupported(String),
    #[error("'{action}' cannot be used in {section}")]
    WrongSection { action: String, section: String },
    #[error("'{name}' needs a number from 0 to {most} as its {which} argument, found '{found}'")]
    NoNumber {
        name: String,
        which: &'static str,
        most: u64,
        found: String,
    },
    #[error("'{0}' a second time in one on-resource: the resource's data is there only once")]
    Repeated(String),
    #[error(
        "'{action}': '{variable}' cannot be a variable's name: it must not be empty and not hold '='"
    )]
    Variable { action: String, variable: String },
    #[error("a text holds '${{' without a '}}' behind it, which is no text when it is applied")]
    OpenVariable,
    #[error("there is no {kind} '{title}'; it must be defined before it is used")]
    Missing { kind: &'static str, title: String },
    #[error("{kind} '{title}': {what}")]
    Section {
        kind: String,
        title: String,
        what: String,
    },
    #[error("'{0}' is not well formed: it must hold counts, each followed by so many texts")]
    Flattened(&'static str),
    #[error("the hash of resource '{0}' is no 64 hexadecimal digits")]
    Hash(String),
}

/// Reads a configuration from a file. Definitions go into the environment.
///
/// # Errors
///
/// The inner ones name a place in the configuration; the outer one is that of the file.
pub fn read_file(
    path: &Path,
    environment: &mut Environment,
) -> std::io::Result<Result<Firmware, LanguageError>> {
    let bytes = read_limited(path)?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(configuration(
        bytes,
        &path.to_string_lossy(),
        folder,
        environment,
    ))
}

/// Reads a configuration from bytes. `name` is what errors call it, `folder` is where its paths start from.
///
/// # Errors
///
/// What is wrong, and where.
pub fn configuration(
    bytes: Vec<u8>,
    name: &str,
    folder: PathBuf,
    environment: &mut Environment,
) -> Result<Firmware, LanguageError> {
    // Both are known only when the archive is complete, so that they stay variables until it is applied.
    for name in ["FWUP_META_UUID", "FWUP_META_NICKNAME"] {
        environment.set(name, format!("${{{name}}}"));
    }
    Parser::new(Lexer::new(bytes, name, folder), Mode::Create, environment).run()
}

/// Reads the `meta.conf` of an archive with the variables of the device. What is not known is skipped: a newer fwup wrote it.
///
/// # Errors
///
/// What is wrong, and where.
pub fn meta_conf(bytes: &[u8], environment: &mut Environment) -> Result<Firmware, LanguageError> {
    let lexer = Lexer::new(bytes.to_vec(), "meta.conf", PathBuf::new());
    Parser::new(lexer, Mode::Apply, environment).run()
}

/// A file of at most [`LARGEST`] bytes and one more, so that the limit is noticed.
fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(LARGEST as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
