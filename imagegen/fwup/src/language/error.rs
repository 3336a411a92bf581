// SPDX-License-Identifier: MIT OR Apache-2.0

use super::arithmetic::ArithmeticError;
use super::version::FWUP_VERSION;
use crate::firmware::call::CallError;

/// An error in a configuration, with its file and line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct LanguageError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The error.
    pub problem: Problem,
}

/// An error in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Problem {
    #[error("no such option '{0}'")]
    UnknownOption(String),
    #[error("syntax error in call of function '{0}'")]
    CallSyntax(String),
    #[error("expected '(' after '{0}'")]
    NoCall(String),
    #[error("expected '=' after option '{name}', found {found}")]
    NoEquals { name: String, found: String },
    #[error("option '{0}' is not a list, so '+=' cannot append to it; write '='")]
    NoList(String),
    #[error("expected a value for option '{name}', found {found}")]
    NoValue { name: String, found: String },
    #[error("option '{name}' needs a whole number, found '{value}'")]
    Integer { name: String, value: String },
    #[error("option '{name}' needs true or false, found '{value}'")]
    Boolean { name: String, value: String },
    #[error("section '{0}' needs a title")]
    NoTitle(String),
    #[error("expected '{{' to open section '{0}'")]
    NoBrace(String),
    #[error("{section} '{title}' is already defined")]
    Duplicate { section: String, title: String },
    #[error("unexpected {0}")]
    Unexpected(String),
    #[error("unexpected '}}': no section is open")]
    UnexpectedClose,
    #[error("the file ends inside a section: '}}' is missing")]
    PrematureEnd,
    #[error("a quoted text is not closed")]
    UnclosedText,
    #[error("a comment that starts with '/*' is not closed")]
    UnclosedComment,
    #[error("'\\{0}' is not a character; write one to three octal digits, at most \\377")]
    Escape(String),
    #[error("a text contains a NUL byte")]
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
    #[error("Cannot include the contents of an undefined variable")]
    EmptyInclude,
    #[error("Cannot include '{path}': {reason}")]
    Include { path: String, reason: String },
    #[error("includes are nested more than 10 deep")]
    IncludeDepth,
    #[error("more than 1000 includes")]
    Includes,
    #[error("this needs fwup version '{0}'; the latest version supported here is {FWUP_VERSION}")]
    NewerVersion(String),
    #[error("require-fwup-version needs a version such as 1.2.3, found '{0}'")]
    BadVersion(String),
    #[error(transparent)]
    Call(CallError),
    #[error("'{0}' twice in one on-resource: only one can use the resource's data")]
    Repeated(String),
    #[error(
        "a text contains '${{' without a '}}' after it, which cannot be read when the archive is applied"
    )]
    OpenVariable,
    #[error("there is no {kind} '{title}'; it must be defined before it is used")]
    Missing { kind: &'static str, title: String },
    #[error("{kind} '{title}': {what}")]
    Section {
        kind: String,
        title: String,
        what: String,
    },
    #[error("'{0}' is malformed: it must contain counts, each followed by that number of texts")]
    Flattened(&'static str),
    #[error("the hash of resource '{0}' is not 64 hexadecimal digits")]
    Hash(String),
}
