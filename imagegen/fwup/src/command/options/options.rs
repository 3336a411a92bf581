// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::command::report::ProgressMode;
use crate::destination::{DestinationOptions, Mounts};
use crate::keys::KeySource;

/// The operation that a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `-a`
    Apply,
    /// `-c`
    Create,
    /// `--create-delta`
    CreateDelta,
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

/// A parsed command line. Options that are not given have fwup's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) operation: Option<Operation>,
    pub(crate) destination: Option<String>,
    pub(crate) configuration: String,
    pub(crate) input: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) metadata_key: Option<String>,
    pub(crate) public_keys: Vec<KeySource>,
    pub(crate) private_key: Option<KeySource>,
    pub(crate) is_quiet: bool,
    pub(crate) is_numeric: bool,
    pub(crate) is_verbose: bool,
    pub(crate) is_framed: bool,
    /// Not an option of fwup.
    pub(crate) is_json: bool,
    pub(crate) has_exit_handshake: bool,
    pub(crate) accepts_detected: bool,
    /// Has no effect, as in fwup on Linux: all data is on the medium when the program ends.
    pub(crate) may_eject: Option<bool>,
    pub(crate) may_unmount: Option<bool>,
    pub(crate) may_trim: bool,
    pub(crate) is_unsafe: bool,
    pub(crate) verifies_writes: Option<bool>,
    pub(crate) minimizes_writes: Option<bool>,
    /// Percent.
    pub(crate) progress_low: u8,
    pub(crate) progress_high: u8,
    /// Blocks of 512 bytes.
    pub(crate) max_size: Option<u64>,
    pub(crate) reboot_param_path: Option<String>,
    pub(crate) sparse_check: Option<String>,
    /// Bytes.
    pub(crate) sparse_check_size: u64,
    pub(crate) level: Option<u8>,
    /// The arguments that are not options.
    pub(crate) arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            operation: None,
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
            is_json: false,
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

impl Options {
    /// Returns the archive to read: that of `-i`, or else the first argument, or else `-`, which is
    /// stdin.
    pub(crate) fn input_path(&self) -> &str {
        let path = self.input.as_ref().or_else(|| self.arguments.first());
        path.map_or("-", String::as_str)
    }

    /// Returns the first argument that the operation does not use.
    pub(crate) fn unexpected(&self) -> Option<&str> {
        let reads = matches!(
            self.operation,
            Some(Operation::Apply | Operation::List | Operation::Metadata | Operation::Verify)
        );
        let taken = match self.operation {
            Some(Operation::CreateDelta) => 2,
            _ => usize::from(reads && self.input.is_none()),
        };
        self.arguments.get(taken).map(String::as_str)
    }

    /// Returns the form of progress and messages. If several options are given, the quietest one
    /// applies.
    pub(crate) fn mode(&self) -> ProgressMode {
        if self.is_json {
            return match self.is_quiet {
                true => ProgressMode::JsonQuiet,
                false => ProgressMode::Json,
            };
        }
        match (self.is_framed, self.is_quiet, self.is_numeric) {
            (true, true, _) => ProgressMode::FramedQuiet,
            (true, false, _) => ProgressMode::Framed,
            (false, true, _) => ProgressMode::Quiet,
            (false, false, true) => ProgressMode::Numeric,
            (false, false, false) => ProgressMode::Normal,
        }
    }

    /// Returns the options for opening and writing the destination. As in fwup, block devices are
    /// unmounted unless `-U` is given.
    pub(crate) fn destination_options(&self) -> DestinationOptions {
        DestinationOptions {
            mounts: match self.may_unmount {
                Some(false) => Mounts::Keep,
                _ => Mounts::Unmount,
            },
            verifies: self.verifies_writes,
            minimizes: self.minimizes_writes.unwrap_or(false),
            trims: self.may_trim,
            max_size: self.max_size.map(|blocks| blocks * 512),
            is_unsafe: self.is_unsafe,
        }
    }
}
