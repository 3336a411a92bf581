// SPDX-License-Identifier: MIT OR Apache-2.0

/// An error in a command line, worded like getopt_long's message if it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionsError {
    /// A long option that does not exist.
    #[error("unrecognized option '{0}'")]
    Unknown(String),
    /// A short option that does not exist.
    #[error("invalid option -- '{0}'")]
    UnknownShort(char),
    /// A prefix of several long options.
    #[error("option '{option}' is ambiguous; possibilities: {possible}")]
    Ambiguous {
        /// The option as given.
        option: String,
        /// The options that it may mean.
        possible: String,
    },
    /// An option without its value.
    #[error("option '{0}' requires an argument")]
    NoValue(String),
    /// A value for an option that does not have one.
    #[error("option '{0}' doesn't allow an argument")]
    ExtraValue(String),
    /// A value that is not a number, or out of range.
    #[error("option '{option}' needs a number from {low} to {high}, not '{value}'")]
    Number {
        /// The option.
        option: String,
        /// The lowest value.
        low: u64,
        /// The highest value.
        high: u64,
        /// The value as given.
        value: String,
    },
    /// `-n` and `-q`
    #[error("pick either -n or -q, but not both.")]
    NumericAndQuiet,
    /// `-F` and `--json`
    #[error("pick either --framing or --json, but not both.")]
    FramedAndJson,
}
