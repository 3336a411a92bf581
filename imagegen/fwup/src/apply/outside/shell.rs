// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commands are run by `/bin/sh`, as C's `system` does.

use std::io;
use std::process::{Command, ExitStatus, Stdio};

use super::error::OutsideError;

/// Returns a shell for a command. Its stdin is empty: ours may be the archive. It prints to our
/// stderr unless `may_print`, which is false if another program reads our stdout.
pub(super) fn shell(command: &str, may_print: bool) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::null());
    if !may_print {
        shell.stdout(io::stderr());
    }
    shell
}

/// Runs a command, and returns whether it succeeded or how it ended.
pub(in crate::apply) fn succeeds(command: &str, may_print: bool) -> Result<(), String> {
    match shell(command, may_print).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks how a command ended.
pub(super) fn check(
    action: &'static str,
    command: &str,
    ended: io::Result<ExitStatus>,
) -> Result<(), OutsideError> {
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(OutsideError::Failed {
            action,
            command: command.to_owned(),
            status,
        }),
        Err(error) => Err(OutsideError::Run {
            action,
            command: command.to_owned(),
            error,
        }),
    }
}
