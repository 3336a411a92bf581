// SPDX-License-Identifier: MIT OR Apache-2.0

//! Applies an archive as the program fwup does: what it prints, and its exit status.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use super::language::Environment;
use super::opened::apply_to;
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
}

impl Run<'_> {
    /// Does it, and returns the exit status. All that is to be seen goes to `out`, but for the line feed that ends a progress
    /// bar before an error, which goes to `err`.
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
        let result = apply_to(
            input,
            self.destination,
            self.task,
            environment,
            &mut reporter,
        );
        let result = result
            .map_err(|error| error.to_string())
            .and_then(|applied| match applied.reboot_parameter {
                Some(parameter) => self.leave(&parameter),
                None => Ok(()),
            });
        match result {
            Ok(()) => {
                reporter.success();
                0
            }
            Err(error) => {
                reporter.error(&error);
                if self.mode == Mode::Normal {
                    // Who reads this may have gone; there is nobody else to tell.
                    let _ = err.write_all(b"\n");
                }
                1
            }
        }
    }

    /// Writes the parameter for whoever reboots.
    fn leave(&self, parameter: &str) -> Result<(), String> {
        let path = self
            .reboot_parameter
            .unwrap_or_else(|| Path::new(REBOOT_PARAMETER));
        fs::write(path, parameter)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}
