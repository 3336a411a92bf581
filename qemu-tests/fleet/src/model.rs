// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is known about a fleet: the answer of the supervisor to `status`, and its history.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The state of a guest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not started yet; its turn comes.
    #[default]
    Waiting,
    /// QEMU runs, and the console is empty.
    Starting,
    /// The loader has printed its first line.
    Loader,
    /// The kernel runs.
    Kernel,
    /// The guest has reported that it is up.
    Up,
    /// The other slot is being written.
    Updating,
    /// Up, in the slot to which it reverted after an update.
    Reverted,
    /// The loader stopped with a fatal error.
    Fatal,
    /// It restarts again and again without coming up.
    Looping,
    /// It was stopped on request.
    Stopped,
    /// QEMU ended without being asked.
    Gone,
}

impl State {
    /// All states, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::Waiting,
        Self::Starting,
        Self::Loader,
        Self::Kernel,
        Self::Up,
        Self::Updating,
        Self::Reverted,
        Self::Fatal,
        Self::Looping,
        Self::Stopped,
        Self::Gone,
    ];

    /// Returns whether the guest will leave this state by itself, in whichever direction.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Starting | Self::Loader | Self::Kernel | Self::Updating
        )
    }

    /// Returns whether the guest does its work in this state.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Reverted)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Up => "up",
            Self::Updating => "updating",
            Self::Reverted => "reverted",
            Self::Fatal => "fatal",
            Self::Looping => "looping",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        })
    }
}

/// The memory of one QEMU process, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The proportional set size: private pages, and the share of each shared page.
    pub pss: u64,
    /// The resident set size, in which each process counts shared pages whole.
    pub rss: u64,
    /// The pages that no other process maps.
    pub private: u64,
}

/// One guest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Guest {
    /// The number, from 1 in a fleet that is not part of a larger one.
    pub id: u32,
    /// The serial number.
    pub serial: String,
    /// The host name.
    pub host: String,
    /// The state.
    pub state: State,
    /// Seconds since the fleet's start at which it entered this state.
    pub since: f64,
    /// The slot that the loader booted, `a` or `b`.
    pub slot: Option<String>,
    /// The loader's reason for this slot.
    pub reason: Option<String>,
    /// The version that the guest reports, if any.
    pub version: Option<String>,
    /// QEMU's process ID, while it runs.
    pub pid: Option<u32>,
    /// The port on the loopback interface that leads to the guest's agent.
    pub port: Option<u16>,
    /// Whether it is a clone of the template that has not rebooted yet.
    pub cloned: bool,
    /// How often the loader has started.
    pub boots: u32,
    /// Seconds from QEMU's start, or the last reset, until the guest was up.
    pub boot_seconds: Option<f64>,
    /// Seconds since the guest's last start.
    pub uptime: Option<f64>,
    /// Memory on the host, at the last sample.
    pub memory: Option<Memory>,
    /// CPU time on the host since the previous sample, as a share of one core.
    pub cpu: Option<f64>,
    /// What the guest last reported that a person has to know: a fatal line of the loader, the
    /// kernel's panic, QEMU's complaint.
    pub message: Option<String>,
}

/// The progress of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// What is being written.
    pub source: String,
    /// The stage, for people: `canary`, `roll-out`, `stopped: …`, `done`.
    pub stage: String,
    /// The guests that take part.
    pub total: u32,
    /// The guests not begun with.
    pub pending: u32,
    /// The guests whose other slot is being written.
    pub writing: u32,
    /// The guests that boot the new slot.
    pub trying: u32,
    /// The guests that run the new slot, validated.
    pub validated: u32,
    /// The guests that went back to the old slot.
    pub reverted: u32,
    /// The guests whose slot could not be written, and which run the old one.
    pub failed: u32,
    /// The guests that neither came up nor went back.
    pub lost: u32,
}

impl Update {
    /// Returns the guests that take part by what became of them, in the order of the steps, with the
    /// name of each step.
    #[must_use]
    pub fn steps(&self) -> [(&'static str, u32); 7] {
        [
            ("pending", self.pending),
            ("writing", self.writing),
            ("trying", self.trying),
            ("validated", self.validated),
            ("reverted", self.reverted),
            ("failed", self.failed),
            ("lost", self.lost),
        ]
    }

    /// Returns whether guests are still to be updated, or on their way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let is_stopped = self.stage.starts_with("stopped");
        self.writing + self.trying > 0 || (self.pending > 0 && !is_stopped)
    }
}

/// How far some guests are that are being started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Starting {
    /// Seconds since the fleet's start.
    pub elapsed: f64,
    /// Whether guests that were asked for are still to be started.
    pub goes_on: bool,
    /// Why starting is slowed down or has ended, if it is.
    pub held: Option<String>,
    /// The guests that are up.
    pub up: u32,
    /// The guests on their way.
    pub booting: u32,
    /// The guests whose turn comes.
    pub waiting: u32,
    /// The others.
    pub failed: u32,
}

impl Starting {
    /// Counts a guest in this state.
    pub fn count(&mut self, state: State) {
        *match state {
            State::Waiting => &mut self.waiting,
            state if state.is_passing() => &mut self.booting,
            state if state.is_up() => &mut self.up,
            _ => &mut self.failed,
        } += 1;
    }

    /// Returns whether every guest is up or has failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.goes_on && self.waiting + self.booting == 0
    }
}

/// The host's resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// CPUs.
    pub cpus: u32,
    /// Memory in KiB.
    pub memory: u64,
    /// Memory that can be used without swapping, in KiB.
    pub available: u64,
    /// The load average of the last minute.
    pub load: f64,
}

/// A fleet at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The image of the guests.
    pub image: PathBuf,
    /// Seconds since the fleet's start.
    pub elapsed: f64,
    /// Seconds since 1970 at the fleet's start.
    pub started: u64,
    /// The accelerator.
    pub accelerator: String,
    /// The guests' RAM in MiB.
    pub memory_mib: u32,
    /// The host.
    pub host: Host,
    /// The supervisor's process ID.
    #[serde(default)]
    pub supervisor: u32,
    /// The supervisor's own resident set size, in KiB.
    pub supervisor_rss: u64,
    /// Why starting is slowed down or has ended, if it is.
    pub held: Option<String>,
    /// Whether guests that were asked for are still to be started.
    #[serde(default)]
    pub starting: bool,
    /// The update that is running, or the last one.
    pub update: Option<Update>,
    /// The guests, by number.
    pub guests: Vec<Guest>,
}

/// One line of `history.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since the fleet's start.
    pub at: f64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The fleet was started or enlarged.
    Start {
        /// The first of them.
        #[serde(default)]
        first: u32,
        /// The guests asked for.
        count: u32,
        /// How many guests were started at once.
        chunk: u32,
        /// Whether they are clones of a template.
        cloned: bool,
    },
    /// A guest entered a state.
    State {
        /// The guest.
        id: u32,
        /// The state.
        state: State,
        /// The slot, if it is known.
        slot: Option<String>,
        /// Seconds that the boot took, when it came up.
        boot_seconds: Option<f64>,
    },
    /// A sample of the whole fleet.
    Sample {
        /// Guests that are up.
        up: u32,
        /// Guests with a QEMU process.
        running: u32,
        /// The sum of the guests' proportional set sizes, in KiB.
        pss: u64,
        /// Guests of which the memory was sampled.
        sampled: u32,
        /// CPU time of all guests as a number of cores.
        cpu: f64,
        /// The host's available memory, in KiB.
        available: u64,
    },
    /// An update began, went on, or ended.
    Update(Update),
}
