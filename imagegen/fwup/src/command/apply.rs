// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::reboot_parameter;
use super::report::{ProgressMode, Reporter};
use crate::apply::{ApplyError, ApplyFileError, Observer, UnmetRequirement, apply_opened, explain};
use crate::archive::firmware_archive::FirmwareArchive;
use crate::destination::DestinationOptions;
use crate::keys::PublicKey;
use crate::language::Definitions;

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
    /// `--reboot-param-path`; the usual files if not set.
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
        input: impl Read + Send,
        definitions: &mut Definitions,
        out: impl Write,
        mut err: impl Write,
    ) -> u8 {
        let mut reporter = Reporter::new(out, self.mode, self.low, self.high);
        reporter.start();
        let input = reporter.counted(input);
        let paths = match self.reboot_parameter {
            Some(path) => vec![path.to_owned()],
            None => reboot_parameter::USUAL.map(PathBuf::from).to_vec(),
        };
        let mut watcher = Watcher {
            reporter,
            is_for_programs: self.mode.is_for_programs(),
            paths,
            written: None,
            unmet: Vec::new(),
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
        let reasons = match self.is_verbose {
            true => explain(&watcher.unmet),
            false => Vec::new(),
        };
        // Output errors are ignored: the reader may have gone.
        match result {
            Ok(applied) => {
                watcher.reporter.success(&applied);
                if self.is_verbose {
                    let lines = reasons.iter().map(|reason| format!("fwup: {reason}\n"));
                    let done = format!("fwup: task '{}' is done\n", applied.task);
                    let text = lines.chain([done]).collect::<String>();
                    let _ = err.write_all(text.as_bytes());
                }
                0
            }
            Err(error) => {
                watcher.take_back();
                let mut text = error.to_string();
                if let ApplyFileError::Apply(ApplyError::NoTask(_)) = error {
                    for reason in reasons {
                        text += "\n";
                        text += &reason;
                    }
                }
                watcher.reporter.error(&text);
                if !self.mode.is_quiet() {
                    let _ = err.write_all(b"\n");
                }
                1
            }
        }
    }
}

/// Reports progress, and writes the parameter for the next boot when the task reaches that action,
/// so that a failure ends the task before later actions.
struct Watcher<W> {
    reporter: Reporter<W>,
    is_for_programs: bool,
    /// The files for the parameter, in the order in which they are tried.
    paths: Vec<PathBuf>,
    written: Option<PathBuf>,
    unmet: Vec<UnmetRequirement>,
}

impl<W> Watcher<W> {
    /// Removes the parameter file after a failed task.
    fn take_back(&self) {
        if let Some(path) = &self.written {
            reboot_parameter::take_back(path);
        }
    }
}

impl<W: Write> Observer for Watcher<W> {
    fn progress(&mut self, done: u64, total: u64) {
        self.reporter.progress(done, total);
    }

    fn info(&mut self, message: &str) {
        self.reporter.info(message);
    }

    fn warning(&mut self, message: &str) {
        self.reporter.warning(message);
    }

    fn unmet(&mut self, unmet: UnmetRequirement) {
        self.unmet.push(unmet);
    }

    fn shares_stdout(&self) -> bool {
        !self.is_for_programs
    }

    fn reboot_parameter(&mut self, parameter: &str) -> io::Result<()> {
        self.written = Some(reboot_parameter::write(&self.paths, parameter)?);
        Ok(())
    }
}
