// SPDX-License-Identifier: MIT OR Apache-2.0

//! fwup's command line, with the habits of GNU's getopt_long: options may follow arguments, long ones may be shortened, short
//! ones may be joined.

mod known;

use self::known::{KNOWN, Known, find_long};
use super::destination::{Mounted, Writing};
use super::report::Mode;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `-a`
    Apply,
    /// `-c`
    Create,
    /// `-D`
    Detect,
    /// `-g`
    GenerateKeys,
    /// `-h`
    Help,
    /// `-l`
    List,
    /// `-m`
    Metadata,
    /// `-S`
    Sign,
    /// `--sparse-check`
    SparseCheck,
    /// `-V`
    Verify,
    /// `--version`
    Version,
    /// `-z`
    ShowDetected,
}

/// A parsed command line. What is not given is as fwup takes it then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the options' names")]
pub struct Options {
    pub command: Option<Command>,
    pub destination: Option<String>,
    pub configuration: String,
    pub input: Option<String>,
    pub output: Option<String>,
    pub task: Option<String>,
    pub metadata_key: Option<String>,
    /// Files or texts.
    pub public_keys: Vec<String>,
    pub private_key: Option<String>,
    pub is_quiet: bool,
    pub is_numeric: bool,
    pub is_verbose: bool,
    pub is_framed: bool,
    pub has_exit_handshake: bool,
    pub accepts_detected: bool,
    /// Has no effect on Linux, with fwup neither: all is on the medium when the program ends, so it can be taken out.
    pub may_eject: Option<bool>,
    pub may_unmount: Option<bool>,
    pub may_trim: bool,
    pub is_unsafe: bool,
    pub verifies_writes: Option<bool>,
    pub minimizes_writes: Option<bool>,
    /// Percent.
    pub progress_low: u8,
    pub progress_high: u8,
    /// Blocks of 512 bytes.
    pub max_size: Option<u64>,
    pub reboot_param_path: Option<String>,
    pub sparse_check: Option<String>,
    /// Bytes.
    pub sparse_check_size: u64,
    pub level: Option<u8>,
    /// What is no option.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command: None,
            destination: None,
            configuration: "fwupdate.conf".to_owned(),
            input: None,
            output: None,
            task: None,
            metadata_key: None,
            public_keys: Vec::new(),
            private_key: None,
            is_quiet: false,
            is_numeric: false,
            is_verbose: false,
            is_framed: false,
            has_exit_handshake: false,
            accepts_detected: false,
            may_eject: None,
            may_unmount: None,
            may_trim: false,
            is_unsafe: false,
            verifies_writes: None,
            minimizes_writes: None,
            progress_low: 0,
            progress_high: 100,
            max_size: None,
            reboot_param_path: None,
            sparse_check: None,
            sparse_check_size: 4096,
            level: None,
            arguments: Vec::new(),
        }
    }
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A long option that does not exist.
    #[error("unrecognized option '{0}'")]
    Unknown(String),
    /// A short option that does not exist.
    #[error("invalid option -- '{0}'")]
    UnknownShort(char),
    /// The start of several long options.
    #[error("option '{option}' is ambiguous; possibilities: {possible}")]
    Ambiguous {
        /// What was given.
        option: String,
        /// What it may be.
        possible: String,
    },
    /// An option that needs a value.
    #[error("option '{0}' requires an argument")]
    NoValue(String),
    /// An option that takes no value.
    #[error("option '{0}' doesn't allow an argument")]
    ExtraValue(String),
    /// A value that is no number, or out of range.
    #[error("option '{option}' needs a number from {low} to {high}, not '{value}'")]
    Number {
        /// The option.
        option: String,
        /// The lowest value.
        low: u64,
        /// The highest value.
        high: u64,
        /// What was given.
        value: String,
    },
    /// `-n` and `-q`
    #[error("pick either -n or -q, but not both.")]
    NumericAndQuiet,
    /// More than ten.
    #[error("at most 10 public keys can be given")]
    PublicKeys,
}

impl Options {
    /// Reads the arguments behind the program's name. What is in front of an error is there: how the error is to be told is an
    /// option too.
    ///
    /// # Errors
    ///
    /// Every [`OptionsError`].
    pub fn read(
        &mut self,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<(), OptionsError> {
        let options = self;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.arguments.extend(arguments);
                break;
            }
            if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let known = find_long(name)?;
                let shown = format!("--{}", known.1);
                let value = match (known.2, value) {
                    (false, Some(_)) => return Err(OptionsError::ExtraValue(shown)),
                    (true, None) => Some(
                        arguments
                            .next()
                            .ok_or_else(|| OptionsError::NoValue(shown.clone()))?,
                    ),
                    (_, value) => value,
                };
                options.set(known, &shown, value.unwrap_or_default())?;
                continue;
            }
            match argument.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                Some(joined) => options.short(joined, &mut arguments)?,
                None => options.arguments.push(argument),
            }
        }
        if options.is_numeric && options.is_quiet {
            return Err(OptionsError::NumericAndQuiet);
        }
        if options.public_keys.len() > 10 {
            return Err(OptionsError::PublicKeys);
        }
        // A firmware file alone is applied.
        if options.command.is_none()
            && let [input] = options.arguments.as_slice()
            && input.ends_with(".fw")
        {
            options.command = Some(Command::Apply);
            options.input.get_or_insert_with(|| input.clone());
            options.task.get_or_insert_with(|| "complete".to_owned());
            options.arguments.clear();
        }
        Ok(())
    }

    /// The archive to read: that of `-i`, or the first argument; `-` is stdin.
    #[must_use]
    pub fn input_path(&self) -> Option<&str> {
        let path = self.input.as_ref().or_else(|| self.arguments.first());
        path.map(String::as_str)
    }

    /// An argument for which there is no use.
    #[must_use]
    pub fn unexpected(&self) -> Option<&str> {
        let reads = matches!(
            self.command,
            Some(Command::Apply | Command::List | Command::Metadata | Command::Verify)
        );
        let taken = usize::from(reads && self.input.is_none());
        self.arguments.get(taken).map(String::as_str)
    }

    /// How progress and messages are shown. Of several options the quietest counts.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.is_framed, self.is_quiet, self.is_numeric) {
            (true, true, _) => Mode::FramedQuiet,
            (true, false, _) => Mode::Framed,
            (false, true, _) => Mode::Quiet,
            (false, false, true) => Mode::Numeric,
            (false, false, false) => Mode::Normal,
        }
    }

    /// How the destination is written to. Like fwup, block devices are unmounted unless `-U` says no.
    #[must_use]
    pub fn writing(&self) -> Writing {
        Writing {
            mounted: match self.may_unmount {
                Some(false) => Mounted::Left,
                _ => Mounted::Unmounted,
            },
            verifies: self.verifies_writes,
            minimizes: self.minimizes_writes.unwrap_or(false),
            trims: self.may_trim,
            max_size: self.max_size.map(|blocks| blocks * 512),
            is_unsafe: self.is_unsafe,
        }
    }

    /// Short options behind one `-`; a value is the rest, or else the next argument.
    fn short(
        &mut self,
        joined: &str,
        arguments: &mut impl Iterator<Item = String>,
    ) -> Result<(), OptionsError> {
        for (at, letter) in joined.char_indices() {
            let known = KNOWN
                .iter()
                .find(|known| known.0 == Some(letter))
                .ok_or(OptionsError::UnknownShort(letter))?;
            let shown = format!("-{letter}");
            if known.2 {
                let rest = &joined[at + letter.len_utf8()..];
                let value = if rest.is_empty() {
                    arguments
                        .next()
                        .ok_or_else(|| OptionsError::NoValue(shown.clone()))?
                } else {
                    rest.to_owned()
                };
                return self.set(known, &shown, value);
            }
            self.set(known, &shown, String::new())?;
        }
        Ok(())
    }

    fn set(&mut self, known: &Known, shown: &str, value: String) -> Result<(), OptionsError> {
        let number = |value: &str, low, high| {
            let found = value.parse().ok();
            found
                .filter(|found| (low..=high).contains(found))
                .ok_or_else(|| OptionsError::Number {
                    option: shown.to_owned(),
                    low,
                    high,
                    value: value.to_owned(),
                })
        };
        // At most 100.
        let percent = |value: &str| number(value, 0, 100).map(|number| number as u8);
        let command = match (known.0.unwrap_or_default(), known.1) {
            ('a', _) => Command::Apply,
            ('c', _) => Command::Create,
            ('D', _) => Command::Detect,
            ('g', _) => Command::GenerateKeys,
            ('h', _) => Command::Help,
            ('l', _) => Command::List,
            ('m', _) => Command::Metadata,
            ('S', _) => Command::Sign,
            ('V', _) => Command::Verify,
            ('z', _) => Command::ShowDetected,
            (_, "version") => Command::Version,
            (_, "sparse-check") => {
                self.sparse_check = Some(value);
                Command::SparseCheck
            }
            (letter, name) => {
                match (letter, name) {
                    ('d', _) => self.destination = Some(value),
                    ('E', _) => self.may_eject = Some(false),
                    ('f', _) => self.configuration = value,
                    ('F', _) => self.is_framed = true,
                    ('i', _) => self.input = Some(value),
                    ('n', _) => self.is_numeric = true,
                    ('o', _) => self.output = Some(value),
                    ('p', _) | (_, "public-key") => self.public_keys.push(value),
                    ('q', _) => self.is_quiet = true,
                    ('s', _) | (_, "private-key") => self.private_key = Some(value),
                    ('t', _) => self.task = Some(value),
                    ('u', _) => self.may_unmount = Some(true),
                    ('U', _) => self.may_unmount = Some(false),
                    ('v', _) => self.is_verbose = true,
                    ('y', _) => self.accepts_detected = true,
                    (level @ '1'..='9', _) => self.level = Some(level as u8 - b'0'),
                    (_, "eject") => self.may_eject = Some(true),
                    (_, "enable-trim") => self.may_trim = true,
                    (_, "exit-handshake") => self.has_exit_handshake = true,
                    (_, "max-size") => self.max_size = Some(number(&value, 1, u64::MAX / 512)?),
                    (_, "metadata-key") => self.metadata_key = Some(value),
                    (_, "minimize-writes") => self.minimizes_writes = Some(true),
                    (_, "no-minimize-writes") => self.minimizes_writes = Some(false),
                    (_, "verify-writes") => self.verifies_writes = Some(true),
                    (_, "no-verify-writes") => self.verifies_writes = Some(false),
                    (_, "progress-high") => self.progress_high = percent(&value)?,
                    (_, "progress-low") => self.progress_low = percent(&value)?,
                    (_, "reboot-param-path") => self.reboot_param_path = Some(value),
                    (_, "sparse-check-size") => {
                        self.sparse_check_size = number(&value, 1, 1 << 40)?;
                    }
                    _ => self.is_unsafe = true,
                }
                return Ok(());
            }
        };
        self.command = Some(command);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
