// SPDX-License-Identifier: MIT OR Apache-2.0

//! Applies an archive as the program fwup does: what it prints, and its exit status.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use super::apply::Observer;
use super::destination::Writing;
use super::language::Environment;
use super::opened::apply_with;
use super::report::{Mode, Reporter};

/// Where fwup leaves the parameter of the next boot.
const REBOOT_PARAMETER: &str = "/run/reboot-param";

/// What `fwup -a` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// `-d`
    pub destination: &'a Path,
    /// `-t`
    pub task: &'a str,
    /// `-q`, `-n`, `-F`, or none of them.
    pub mode: Mode,
    /// `--progress-low`, in percent.
    pub low: u8,
    /// `--progress-high`, in percent.
    pub high: u8,
    /// `--reboot-param-path`
    pub reboot_parameter: Option<&'a Path>,
    /// How the destination is written to.
    pub writing: Writing,
    /// `-v`
    pub is_verbose: bool,
}

impl Run<'_> {
    /// Does it, and returns the exit status. All that is to be seen goes to `out`, but for the line feed that ends a progress
    /// bar before an error, and with `-v` the name of the task, which go to `err`.
    pub fn apply(
        &self,
        input: impl Read,
        environment: &mut Environment,
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
            is_left: false,
        };
        let result = apply_with(
            input,
            self.destination,
            self.task,
            environment,
            &self.writing,
            &mut watcher,
        );
        // Who reads these may have gone; there is nobody else to tell.
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
                if !matches!(self.mode, Mode::Quiet | Mode::FramedQuiet) {
                    let _ = err.write_all(b"\n");
                }
                1
            }
        }
    }
}

/// Reports, and leaves the parameter of the next boot when the task comes to that. So a parameter that cannot be left ends
/// the task in front of all that is still to be done, and not after it.
struct Watcher<'a, W> {
    reporter: Reporter<W>,
    path: &'a Path,
    is_left: bool,
}

impl<W> Watcher<'_, W> {
    /// A task that fails leaves nothing to the next boot.
    fn take_back(&self) {
        // A pipe or a device, such as /dev/stdout, is not ours to remove.
        let is_file = fs::symlink_metadata(self.path).is_ok_and(|found| found.is_file());
        if self.is_left && is_file {
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
        self.is_left = true;
        Ok(())
    }
}
