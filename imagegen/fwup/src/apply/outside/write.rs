// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::error::OutsideError;
use super::path::PathOutput;
use super::sequential::Sequential;
use super::{shell, ubi};
use crate::apply::error::ApplyError;
use crate::apply::execution::Execution;
use crate::apply::raw_write::checked_resource;
use crate::archive::read::Archive;
use crate::destination::storage::Storage;
use crate::firmware::model::{Firmware, Handler};
use crate::firmware::unsafe_action::UnsafeAction;

impl<S: Storage> Execution<'_, '_, S> {
    /// Runs a command of `execute`.
    pub(in crate::apply) fn execute(&mut self, command: &str) -> Result<(), ApplyError> {
        self.before_outside("execute")?;
        let ended = shell::shell(command, self.observer.shares_stdout()).status();
        Ok(shell::check("execute", command, ended)?)
    }

    /// Writes a resource outside the destination.
    pub(in crate::apply) fn write_outside<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        firmware: &Firmware,
        handler: &Handler,
        action: UnsafeAction<'_>,
    ) -> Result<(), ApplyError> {
        self.before_outside(action.name())?;
        match action {
            UnsafeAction::PathWrite(path) => self.path_write(archive, firmware, handler, path),
            UnsafeAction::PipeWrite(command) => {
                let program = Program {
                    action: action.name(),
                    text: command,
                    command: shell::shell(command, self.observer.shares_stdout()),
                };
                self.pipe_write(archive, firmware, handler, program)
            }
            UnsafeAction::UbiVolumeWrite(volume) => {
                let resource = checked_resource(firmware, handler)?;
                let length = resource.length.iter().sum();
                let program = Program {
                    action: action.name(),
                    text: "ubiupdatevol",
                    command: ubi::update(volume, length)?,
                };
                self.pipe_write(archive, firmware, handler, program)
            }
            UnsafeAction::Execute(command) => self.execute(command),
        }
    }

    /// Checks that the user allows it. Programs may look at the destination, so everything is
    /// written to it first.
    fn before_outside(&mut self, action: &'static str) -> Result<(), ApplyError> {
        if !self.is_unsafe {
            return Err(OutsideError::Refused(action).into());
        }
        self.before_data()?;
        Ok(self.device.finish()?)
    }

    fn path_write<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        firmware: &Firmware,
        handler: &Handler,
        path: &str,
    ) -> Result<(), ApplyError> {
        let resource = checked_resource(firmware, handler)?;
        let mut output = PathOutput::open(path)?;
        let mut write = |_: &mut Self, at, piece: &[u8]| Ok(output.write_at(at, piece)?);
        let end = self.resource_data(archive, resource, handler, 0, &mut write)?;
        Ok(output.finish(end)?)
    }

    fn pipe_write<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        firmware: &Firmware,
        handler: &Handler,
        mut program: Program<'_>,
    ) -> Result<(), ApplyError> {
        let resource = checked_resource(firmware, handler)?;
        let mut child = program.start()?;
        let Some(stdin) = child.stdin.take() else {
            return Ok(());
        };
        let mut output = Sequential::new(stdin);
        let not_taken = |error| OutsideError::Input {
            action: program.action,
            command: program.text.to_owned(),
            error,
        };
        let mut write =
            |_: &mut Self, at, piece: &[u8]| Ok(output.write_at(at, piece).map_err(not_taken)?);
        let written = self
            .resource_data(archive, resource, handler, 0, &mut write)
            .and_then(|end| Ok(output.fill(end).map_err(not_taken)?));
        if let Err(error) = &written
            && !matches!(error, ApplyError::Outside(_))
        {
            // The end of its input must not look like the end of valid data.
            let _ = child.kill();
        }
        drop(output);
        let ended = shell::check(program.action, program.text, child.wait());
        match (written, ended) {
            // The program's failure is the reason why it does not take more data.
            (Err(ApplyError::Outside(_)) | Ok(()), Err(error)) => Err(error.into()),
            (written, _) => written,
        }
    }
}

/// A program that gets a resource on its stdin.
struct Program<'a> {
    action: &'static str,
    /// The command in messages.
    text: &'a str,
    command: Command,
}

impl Program<'_> {
    fn start(&mut self) -> Result<Child, OutsideError> {
        let started = self.command.stdin(Stdio::piped()).spawn();
        started.map_err(|error| OutsideError::Run {
            action: self.action,
            command: self.text.to_owned(),
            error,
        })
    }
}
