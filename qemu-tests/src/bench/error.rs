// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of measurements.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::demo::DemoError;
use crate::harness::emulator::EmulatorError;
use crate::harness::kvm_host::{Ended, HostError};
use crate::harness::process::ProcessError;
use crate::harness::report::ReportError;
use crate::harness::running::RunError;
use crate::scratch::ScratchError;
use crate::toolchain::ToolchainError;

/// The reason that a measurement failed.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A machine did not run as expected.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The emulated host did not run its guests.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The files of the emulated host could not be used.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A guest of the emulated host did not boot the payload.
    #[error("the payload did not boot, or the host did not trace it: {0}")]
    Guest(Box<Ended>),
    /// The payload reported an error, so its figures are invalid.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The disk image could not be created.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A file could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// QEMU's version could not be queried.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The compiler's version could not be queried.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// QEMU could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The loader's symbols cannot be read.
    #[error("cannot read the symbols of {path}")]
    Symbols {
        /// The ELF.
        path: PathBuf,
        /// The cause.
        source: goblin::error::Error,
    },
    /// QEMU's execution log does not contain both the loader and its kernel.
    #[error("QEMU's log of `{command}` does not go from the loader to its kernel")]
    ExecutionLog {
        /// The command.
        command: String,
    },
    /// QEMU's trace is missing or incomplete.
    #[error(
        "QEMU's trace has no payload in it; was this QEMU built without the trace backend `log`?"
    )]
    Trace,
}
