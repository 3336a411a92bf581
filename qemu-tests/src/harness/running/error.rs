// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a run goes wrong, and what a failing test shows of it.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

use crate::harness::process::ProcessError;

/// How a run went wrong. Every message ends with the command and all that the machine printed.
#[derive(Debug, Error)]
pub enum RunError {
    /// QEMU could not be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// The text did not come within its time.
    #[error("no {text:?} within {} s{log}", .limit.as_secs_f32())]
    Missing {
        /// The expected text or event.
        text: String,
        /// How long.
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
    /// The machine was still running at the end of its time.
    #[error("the machine did not end by itself within {} s{log}", .limit.as_secs_f32())]
    StillRunning {
        /// How long.
        limit: Duration,
        /// The command and the serial log.
        log: Log,
    },
    /// QEMU itself failed.
    #[error("QEMU ended with {status}{log}")]
    Qemu {
        /// How it ended.
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
