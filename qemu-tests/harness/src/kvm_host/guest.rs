// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest of a host with KVM, and what is done to it while it runs.

use std::time::Duration;

use crate::machine::{Accelerator, Machine};

/// The time that a guest may take, on an emulated host that shares a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A guest of a host with KVM.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(super) name: String,
    pub(super) machine: Machine,
    pub(super) steps: Vec<Step>,
    pub(super) traced: bool,
    pub(super) beside_next: bool,
}

/// An action while the guest runs.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Expect(String),
    Type(String),
    Monitor(String),
    Resets { last: String, moments: Vec<u32> },
}

impl Guest {
    /// Returns a guest that runs `machine` on the host's CPU, under KVM: QEMU does not start it
    /// where it cannot have KVM. Its time limit is five minutes.
    #[must_use]
    pub fn new(name: impl Into<String>, machine: Machine) -> Self {
        let machine = machine.accelerator(Accelerator::Kvm);
        Self::as_given(name, machine.time_limit(LIMIT))
    }

    /// Like [`Guest::new`], but changes neither the accelerator nor the time limit.
    #[must_use]
    pub fn as_given(name: impl Into<String>, machine: Machine) -> Self {
        Self {
            name: name.into(),
            machine,
            steps: Vec::new(),
            traced: false,
            beside_next: false,
        }
    }

    /// Waits until `text` is on the console, after the text of earlier steps.
    #[must_use]
    pub fn expect(self, text: &str) -> Self {
        self.step(Step::Expect(text.to_owned()))
    }

    /// Types `line` and a carriage return.
    #[must_use]
    pub fn type_line(self, line: &str) -> Self {
        self.step(Step::Type(line.to_owned()))
    }

    /// Gives a command to QEMU's monitor.
    #[must_use]
    pub fn monitor(self, command: &str) -> Self {
        self.step(Step::Monitor(command.to_owned()))
    }

    /// Waits for `last`, the last text of a boot, twice, with a reset in between, to measure a boot;
    /// then resets the guest once at each of `moments`, which are in thousandths of the measured
    /// time. What is on the console until then counts as past.
    #[must_use]
    pub fn resets(self, last: &str, moments: &[u32]) -> Self {
        self.step(Step::Resets {
            last: last.to_owned(),
            moments: moments.to_owned(),
        })
    }

    /// Records each exit to the host's kernel, also those of guests that run at the same time.
    #[must_use]
    pub fn traced(self) -> Self {
        Self {
            traced: true,
            ..self
        }
    }

    /// Runs this guest and the next one at the same time. They take turns with their steps: the
    /// first step of each comes before the second step of any.
    #[must_use]
    pub fn beside_next(self) -> Self {
        Self {
            beside_next: true,
            ..self
        }
    }

    /// Sets the total time that the guest may run.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        Self {
            machine: self.machine.time_limit(limit),
            ..self
        }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
