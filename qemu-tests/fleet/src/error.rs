// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why something could not be done with a fleet.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::State;

/// Why something could not be done with a fleet.
#[derive(Debug, Error)]
pub enum FleetError {
    /// A file or socket could not be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of the state folder has unexpected contents.
    #[error("{} cannot be understood: {text}; move it away, or use another --state folder", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// The folder has a supervisor already.
    #[error("a supervisor already runs for {}; `status` shows its guests, `stop` ends it", .0.display())]
    Running(PathBuf),
    /// The supervisor stops all guests.
    #[error("the supervisor of {} ends; start a new one when it has", .0.display())]
    Ending(PathBuf),
    /// The folder has no supervisor.
    #[error("no supervisor runs for {}{remains}; `start` starts one, --state names another folder", .folder.display())]
    NoSupervisor {
        /// The state folder.
        folder: PathBuf,
        /// What is there of an earlier fleet.
        remains: &'static str,
    },
    /// The disk of a guest could not be made.
    #[error(transparent)]
    Overlay(#[from] imagegen::overlay::OverlayError),
    /// The host's CPUs are not known.
    #[error(transparent)]
    Placement(#[from] crate::placement::PlacementError),
    /// The host cannot merge pages.
    #[error(
        "cannot turn on the merging of equal pages by {}: {source}; run the fleet as root, turn it on before (echo 1 > {}), or leave out --ksm",
        .path.display(), .path.display()
    )]
    Ksm {
        /// The setting.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The overlays belong to another image.
    #[error(
        "the disks in {} were made from {}{changed}; start the fleet with --fresh to discard what its guests have written, or use another --state folder",
        .folder.display(), .image.display()
    )]
    OtherImage {
        /// The state folder.
        folder: PathBuf,
        /// The image of the disks.
        image: PathBuf,
        /// `, which has changed since`, if it is the same path.
        changed: &'static str,
    },
    /// The system allows too few open files or processes.
    #[error(
        "{count} guests need {needed} {what}, and the limit is {limit}: {remedy}, or start fewer guests"
    )]
    Limit {
        /// The guests asked for.
        count: u32,
        /// What is limited.
        what: &'static str,
        /// How many of it are needed.
        needed: u64,
        /// The limit.
        limit: u64,
        /// How to raise it.
        remedy: &'static str,
    },
    /// There is no such guest.
    #[error("there is no guest {id}: the fleet has {count}")]
    NoGuest {
        /// The number asked for.
        id: u32,
        /// The guests of the fleet, numbered from 1.
        count: usize,
    },
    /// The guest has no QEMU at the moment.
    #[error("guest {id} does not run: it is {state}")]
    NotRunning {
        /// The guest.
        id: u32,
        /// Its state.
        state: State,
    },
    /// The guest runs already.
    #[error("guest {0} runs already")]
    AlreadyRuns(u32),
    /// QEMU did not do what it was asked by QMP.
    #[error("QEMU of guest {id} refused `{command}`: {text}")]
    Qmp {
        /// The guest.
        id: u32,
        /// The command.
        command: String,
        /// QEMU's answer, or why there is none.
        text: String,
    },
    /// The guest has no network.
    #[error("guest {0} has no network: the fleet was started with --no-net")]
    NoNetwork(u32),
    /// The guest's agent did not answer.
    #[error(
        "the agent of guest {id} does not answer `{command}`: {source}; is the guest up, and does its image have an agent on port 4000?"
    )]
    Agent {
        /// The guest.
        id: u32,
        /// The command.
        command: String,
        /// The system's error.
        source: io::Error,
    },
    /// The supervisor's answer.
    #[error("{0}")]
    Refused(String),
}

impl FleetError {
    /// Returns a function that makes an error of the system one about `path`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
