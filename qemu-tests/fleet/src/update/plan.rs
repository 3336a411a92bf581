// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an update of a fleet writes, and how.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is written to the other slot of each guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The active slot of a disk image.
    Image(PathBuf),
    /// A firmware archive, by its task `upgrade`.
    Archive(PathBuf),
    /// Nothing: the other slot is used as it is.
    Rollback,
}

/// Who writes the other slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The guest if it can, else the host.
    #[default]
    Auto,
    /// The guest's own updater, to which the archive is streamed.
    Guest,
    /// The host, while the guest is stopped.
    Host,
}

/// An update of a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is written.
    pub source: Source,
    /// Who writes.
    pub way: Way,
    /// The slot to end in, `a` or `b`; guests that run it already are left out. Without it, each
    /// guest's other slot.
    pub slot: Option<String>,
    /// The most guests that are written or tried at once.
    pub concurrency: u32,
    /// The share of guests that go first, 0 to 1.
    pub canary: f64,
    /// The largest share of finished guests that may not keep the update, 0 to 1.
    pub tolerated: f64,
    /// The longest time for one guest's writing, and for its trial, in seconds.
    pub patience: f64,
    /// Whether being up in the new slot is enough, also if the guest does not say that it has ended
    /// the trial.
    pub up_is_enough: bool,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(path) | Self::Archive(path) => write!(formatter, "{}", path.display()),
            Self::Rollback => formatter.write_str("rollback"),
        }
    }
}
