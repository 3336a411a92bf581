// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a template or a clone failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::FleetError;

/// Why a template or a clone failed.
#[derive(Debug, Error)]
pub enum CloneError {
    /// Clones cannot be told who they are.
    #[error("clones learn by the network who they are; start them without --no-net")]
    NoNetwork,
    /// Memory that a clone gives back would be taken from the template.
    #[error(
        "a clone must not give back memory, since that would clear the template's; leave out {0}"
    )]
    GivesBack(String),
    /// The template's RAM does not fit.
    #[error(
        "the template's RAM takes {needed_mib} MiB of {}, which has {free_mib} MiB left; name another folder by --template-memory",
        .folder.display()
    )]
    NoRoom {
        /// The folder for the RAM.
        folder: PathBuf,
        /// The guest's RAM, in MiB.
        needed_mib: u64,
        /// What is left, in MiB.
        free_mib: u64,
    },
    /// The template did not come up.
    #[error("the template did not come up: {text}; its console is in {}", .console.display())]
    Boot {
        /// What happened.
        text: String,
        /// The log of its console.
        console: PathBuf,
    },
    /// QEMU did not execute a command.
    #[error("QEMU did not execute `{command}`: {text}")]
    Qmp {
        /// The command.
        command: &'static str,
        /// QEMU's answer, or why there is none.
        text: String,
    },
    /// QEMU could not save the state.
    #[error("QEMU could not save the template's state: {0}")]
    Save(String),
    /// Something took too long.
    #[error("{what} took longer than {seconds} s")]
    Slow {
        /// What.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The agent did not answer.
    #[error(
        "the agent does not answer `identify`: {0}; does the image have an agent on port 4000?"
    )]
    Agent(io::Error),
    /// The agent answered as another guest.
    #[error("the agent answered `{answer}` to `identify`, and not as {serial}")]
    Stranger {
        /// The guest's serial number.
        serial: String,
        /// The answer.
        answer: String,
    },
    /// QEMU ended.
    #[error("{0}")]
    Ended(String),
    /// Everything else.
    #[error(transparent)]
    Fleet(#[from] FleetError),
}
