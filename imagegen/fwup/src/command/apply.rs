// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use super::report::{ProgressMode, Reporter};
use crate::apply::{Observer, apply_opened};
use crate::archive::firmware_archive::FirmwareArchive;
use crate::destination::DestinationOptions;
use crate::keys::PublicKey;
use crate::language::Definitions;

/// The default file for the reboot parameter, the same as fwup's.
const REBOOT_PARAMETER: &str = "/run/reboot-param";

/// `fwup -a` with its options.
#[derive(Clone, Copy, Debug)]
pub struct ApplyCommand<'a> {
    /// `-d`
    pub destination: &'a Path,
    /// `-t`
    pub task: &'a str,
    /// `-p`: the archive must be signed by one of these keys, if there are any.
    pub public_keys: &'a [PublicKey],
    /// `-q`, `-n` or `-F`; otherwise a progress bar.
    pub mode: ProgressMode,
    /// `--progress-low`, in percent.
    pub low: u8,
    /// `--progress-high`, in percent.
    pub high: u8,
    /// `--reboot-param-path`
    pub reboot_parameter: Option<&'a Path>,
    /// Options for opening and writing the destination.
    pub options: DestinationOptions,
    /// `-v`
    pub is_verbose: bool,
}

impl ApplyCommand<'_> {
    /// Applies an archive, and returns the exit status. All output goes to `out`, except the line
    /// feed that ends a progress bar before an error, and with `-v` the name of the task, which go
    /// to `err`.
    pub fn run(
        &self,
        input: impl Read,
        definitions: &mut Definitions,
        out: impl Write,
        mut err: impl Write,
    ) -> u8 {
        let mut reporter = Reporter::new(out, self.mode, self.low, self.high);
        reporter.start();
        let input = reporter.counted(input);
        let mut watcher = Watcher {
            reporter,
            path: self
                .reboot_parameter
                .unwrap_or_else(|| Path::new(REBOOT_PARAMETER)),
            is_written: false,
        };
        let opened = FirmwareArchive::authenticated(input, self.public_keys, definitions);
        let result = opened.map_err(Into::into).and_then(|input| {
            apply_opened(
                input,
                self.destination,
                self.task,
                &self.options,
                &mut watcher,
            )
        });
        // Output errors are ignored: the reader may have gone.
        match result {
            Ok(applied) => {
                watcher.reporter.success();
                if self.is_verbose {
                    let _ = writeln!(err, "fwup: task '{}' is done", applied.task);
                }
                0
            }
            Err(error) => {
                watcher.take_back();
                watcher.reporter.error(&error);
                if !matches!(self.mode, ProgressMode::Quiet | ProgressMode::FramedQuiet) {
                    let _ = err.write_all(b"\n");
                }
                1
            }
        }
    }
}

/// Reports progress, and writes the parameter for the next boot when the task reaches that action,
/// so that a failure ends the task before later actions.
struct Watcher<'a, W> {
    reporter: Reporter<W>,
    path: &'a Path,
    is_written: bool,
}

impl<W> Watcher<'_, W> {
    /// Removes the parameter file after a failed task.
    fn take_back(&self) {
        // A pipe or a device, such as /dev/stdout, is kept.
        let is_file = fs::symlink_metadata(self.path).is_ok_and(|found| found.is_file());
        if self.is_written && is_file {
            let _ = fs::remove_file(self.path);
        }
    }
}

impl<W: Write> Observer for Watcher<'_, W> {
    fn progress(&mut self, done: u64, total: u64) {
        self.reporter.progress(done, total);
    }

    fn info(&mut self, message: &str) {
        self.reporter.info(message);
    }

    fn reboot_parameter(&mut self, parameter: &str) -> io::Result<()> {
        fs::write(self.path, parameter).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })?;
        self.is_written = true;
        Ok(())
    }
}
