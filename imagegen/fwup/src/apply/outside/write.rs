// SPDX-License-Identifier: MIT OR Apache-2.0

use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::error::OutsideError;
use super::path::PathOutput;
use super::sequential::Sequential;
use super::shell;
use super::ubi::UbiVolume;
use crate::apply::error::ApplyError;
use crate::apply::resource_copy::ResourceSink;
use crate::destination::aligned::AlignedBytes;
use crate::firmware::unsafe_action::UnsafeAction;

/// Copies a resource to a sink.
pub(in crate::apply) type CopyTo<'a> =
    &'a mut dyn FnMut(&mut dyn ResourceSink) -> Result<(), ApplyError>;

/// Runs a command of `execute`.
pub(in crate::apply) fn execute(command: &str, may_print: bool) -> Result<(), ApplyError> {
    let ended = shell::shell(command, may_print).status();
    Ok(shell::check("execute", command, ended)?)
}

/// Writes a resource of `length` bytes outside the destination.
pub(in crate::apply) fn write(
    action: UnsafeAction<'_>,
    length: u64,
    may_print: bool,
    copy: CopyTo<'_>,
) -> Result<(), ApplyError> {
    match action {
        UnsafeAction::PathWrite(path) => copy(&mut PathOutput::open(path)?),
        UnsafeAction::PipeWrite(command) => pipe_write(command, may_print, copy),
        UnsafeAction::UbiVolumeWrite(volume) => copy(&mut UbiVolume::open(volume, length)?),
        UnsafeAction::Execute(command) => execute(command, may_print),
    }
}

/// The action in messages.
const ACTION: &str = "pipe_write";

/// Writes a resource to the stdin of a shell command.
fn pipe_write(command: &str, may_print: bool, copy: CopyTo<'_>) -> Result<(), ApplyError> {
    let mut child = start(command, may_print)?;
    let Some(stdin) = child.stdin.take() else {
        return Ok(());
    };
    let mut input = ProgramInput {
        command,
        input: Sequential::new(stdin),
    };
    let written = copy(&mut input);
    if let Err(error) = &written
        && !matches!(error, ApplyError::Outside(_))
    {
        // The end of its input must not look like the end of valid data. The group exists even if
        // the shell has ended, because nobody has waited for it yet.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    drop(input);
    let ended = shell::check(ACTION, command, child.wait());
    match (written, ended) {
        // The program's failure is the reason why it does not accept more data.
        (Err(ApplyError::Outside(_)) | Ok(()), Err(error)) => Err(error.into()),
        (written, _) => written,
    }
}

/// Starts a shell in a process group of its own, which also has what it starts in the background.
fn start(command: &str, may_print: bool) -> Result<Child, OutsideError> {
    let started = shell::shell(command, may_print)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn();
    started.map_err(|error| OutsideError::Run {
        action: ACTION,
        command: command.to_owned(),
        error,
    })
}

/// The stdin of a program.
struct ProgramInput<'a> {
    command: &'a str,
    input: Sequential<ChildStdin>,
}

impl ProgramInput<'_> {
    fn checked(&self, written: std::io::Result<()>) -> Result<(), ApplyError> {
        let failed = |error| OutsideError::Input {
            action: ACTION,
            command: self.command.to_owned(),
            error,
        };
        Ok(written.map_err(failed)?)
    }
}

impl ResourceSink for ProgramInput<'_> {
    fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError> {
        let written = self.input.write_at(at, piece);
        self.checked(written)
    }

    fn finish(
        &mut self,
        last: Option<(u64, AlignedBytes)>,
        end: u64,
        _ends_in_hole: bool,
    ) -> Result<(), ApplyError> {
        let written = last
            .map_or(Ok(()), |(at, piece)| self.input.write_at(at, &piece))
            .and_then(|()| self.input.fill(end));
        self.checked(written)
    }
}
