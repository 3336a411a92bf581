// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reasons that something could not be measured.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::harness::emulator::EmulatorError;
use crate::harness::process::ProcessError;
use crate::harness::report::ReportError;
use crate::harness::running::RunError;
use crate::scratch::ScratchError;
use crate::toolchain::ToolchainError;

/// Why something could not be measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A machine did not do what it should.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The payload is not content, so its figures mean nothing.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The disk could not be made.
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
    /// QEMU could not be asked.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The compiler could not be asked.
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
    /// QEMU's log of what was executed has no loader or no kernel in it.
    #[error("QEMU's log of `{command}` does not go from the loader to its kernel")]
    ExecutionLog {
        /// The command.
        command: String,
    },
    /// QEMU's trace is not what it should be.
    #[error(
        "QEMU's trace has no payload in it; was this QEMU built without the trace backend `log`?"
    )]
    Trace,
}
