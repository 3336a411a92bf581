// SPDX-License-Identifier: MIT OR Apache-2.0

//! The errors of a run, and the context that a failing test prints.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

use crate::process::ProcessError;

/// The reason that a run failed. Every message, except that of a failed start, ends with QEMU's
/// command line and the serial log.
#[derive(Debug, Error)]
pub enum RunError {
    /// QEMU could not be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// The machine has an option that its accelerator does not offer.
    #[error("{option} exists only under emulation, not with -accel {accelerator}")]
    OnlyEmulated {
        /// The option.
        option: String,
        /// The accelerator's name.
        accelerator: String,
    },
    /// The text did not appear within the time limit.
    #[error("no {text:?} within {} s{log}", .limit.as_secs_f32())]
    Missing {
        /// The expected text or event.
        text: String,
        /// The time limit.
        limit: Duration,
        /// The command and the serial log.
        log: Log,
    },
    /// The machine ended before it printed the text.
    #[error("the machine ended without {text:?}{log}")]
    EndedWithout {
        /// The expected text or event.
        text: String,
        /// The command and the serial log.
        log: Log,
    },
    /// The machine was still running at its time limit.
    #[error("the machine did not end by itself within {} s{log}", .limit.as_secs_f32())]
    StillRunning {
        /// The time limit.
        limit: Duration,
        /// The command and the serial log.
        log: Log,
    },
    /// QEMU itself failed.
    #[error("QEMU ended with {status}{log}")]
    Qemu {
        /// QEMU's exit status.
        status: ExitStatus,
        /// The command and the serial log.
        log: Log,
    },
    /// The serial port or the process could not be used.
    #[error("cannot talk to the machine{log}")]
    Io {
        /// The system's error.
        source: io::Error,
        /// The command and the serial log.
        log: Log,
    },
}

/// The context of a failure, as a failing test prints it.
#[derive(Clone, Debug)]
pub struct Log {
    /// QEMU's command line.
    pub command: String,
    /// QEMU's stderr.
    pub qemu: String,
    /// The output of the serial port.
    pub serial: String,
}

impl fmt::Display for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\ncommand: {}\nserial port:", self.command)?;
        for line in self.serial.lines() {
            write!(formatter, "\n    {line}")?;
        }
        if !self.qemu.is_empty() {
            write!(formatter, "\nQEMU: {}", self.qemu.trim_end())?;
        }
        Ok(())
    }
}
