// SPDX-License-Identifier: MIT OR Apache-2.0

//! Figures that a plan is computed from.
//!
//! | figure | measured by |
//! | --- | --- |
//! | `booted_overhead_mib`, `shared_mib` | `cargo qemu fleet start --count 40`, then `status`: PSS and private memory of each guest |
//! | `clone_mib` | `cargo qemu fleet start --count 500 --clones`, then `status` |
//! | `rest_cores` | the same, CPU a minute after the last guest is up |
//! | `boot`, `clone` | the time to the last guest of those commands, times the cores, divided by the guests |
//! | `update` | `cargo qemu fleet update --fw FILE`, likewise |
//!
//! `cargo qemu fleet report --measured FILE` writes those of a user's own fleet.

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::model::{Event, EventKind, State, Status};
use crate::totals::{Percentiles, float};

/// What is done once per guest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// CPU time in seconds of a core, all told.
    pub core_seconds: f64,
    /// Seconds that it takes on a host with nothing else to do.
    pub seconds: f64,
}

/// Measured figures of a kind of guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Where the figures come from, for the person who reads the plan.
    pub source: String,
    /// MiB that a booted guest takes from the host beyond its own RAM, all of which counts as used.
    pub booted_overhead_mib: f64,
    /// MiB that a clone takes for itself, whatever the size of its RAM.
    pub clone_mib: f64,
    /// MiB that all guests of a host share: QEMU's program and libraries. Clones share the template's
    /// RAM as well.
    pub shared_mib: f64,
    /// MiB of the supervisor per guest.
    pub supervisor_mib: f64,
    /// CPU time of a guest that is up and has nothing to do, as a share of a core.
    pub rest_cores: f64,
    /// A boot through the loader.
    pub boot: Work,
    /// A start from the template.
    pub clone: Work,
    /// An update: writing the other slot, the reboot, the validation.
    pub update: Work,
}

impl Measured {
    /// Returns the figures of the Erlang guest with 80 MiB of RAM under emulation, on two x86-64
    /// cores.
    #[must_use]
    pub fn emulated() -> Self {
        Self {
            source: "this project's measurements: an Erlang guest of 80 MiB under emulation"
                .to_owned(),
            // 136 MB of PSS with 80 MiB of RAM and tb-size=32.
            booted_overhead_mib: 56.0,
            // 31 to 35 MB of PSS with 500 clones.
            clone_mib: 35.0,
            // Resident pages of QEMU's files, which PSS divides among the guests.
            shared_mib: 30.0,
            // The limit that the supervisor is held to: 50 MB with 1,000 guests.
            supervisor_mib: 0.05,
            // The limit that a guest at rest is held to.
            rest_cores: 0.002,
            // 4.6 s of one core until the Erlang prompt.
            boot: Work {
                core_seconds: 5.0,
                seconds: 5.0,
            },
            // 500 clones in 92 s on two cores; 8 in 1.2 s.
            clone: Work {
                core_seconds: 0.37,
                seconds: 0.5,
            },
            // The reboot, and as much again for writing the slot.
            update: Work {
                core_seconds: 10.0,
                seconds: 10.0,
            },
        }
    }

    /// Returns figures for hosts with KVM. Only the memory is known from such a host, a published
    /// fleet of 5,100 guests with 110 MB inside and 160 MB outside, 30 MB of which are shared; CPU
    /// times are those of emulation, which takes longer.
    #[must_use]
    pub fn kvm() -> Self {
        Self {
            source:
                "memory of a published fleet of 5,100 guests under KVM; CPU times measured under \
                     emulation, so at most these"
                    .to_owned(),
            booted_overhead_mib: 20.0,
            ..Self::emulated()
        }
    }

    /// Returns the figures of a fleet from its status and its history. What they do not tell stays as
    /// it is in `self`.
    #[must_use]
    pub fn with_fleet(self, status: &Status, events: &[Event]) -> Self {
        let mut measured = Self {
            source: format!("a fleet of {} guests", status.guests.len()),
            ..self
        };
        let cloned = events
            .iter()
            .any(|event| matches!(event.kind, EventKind::Start { cloned: true, .. }));
        let sizes = status.guests.iter().filter_map(|guest| {
            let memory = guest.memory?;
            (guest.cloned == cloned).then_some(float(memory.pss) / 1024.0)
        });
        if let Some(size) = Percentiles::of(sizes) {
            if cloned {
                measured.clone_mib = size.p50.max(1.0);
            } else {
                let overhead = size.p50 - f64::from(status.memory_mib);
                measured.booted_overhead_mib = overhead.max(1.0);
            }
        }
        if let Some(rest) = rest_cores(events) {
            measured.rest_cores = rest;
        }
        if !status.guests.is_empty() && status.supervisor_rss > 0 {
            let guests = float(status.guests.len() as u64);
            measured.supervisor_mib = float(status.supervisor_rss) / 1024.0 / guests;
        }
        let cores = f64::from(status.host.cpus);
        if let Some(boot) = boot(events, cores) {
            if cloned {
                measured.clone = boot;
            } else {
                measured.boot = boot;
            }
        }
        if let Some(update) = update(events, cores) {
            measured.update = update;
        }
        measured
    }

    /// Checks that a plan can be computed.
    ///
    /// # Errors
    /// When a figure is not a positive number.
    pub fn check(self) -> Result<Self, PlanError> {
        for (name, value) in [
            ("booted_overhead_mib", self.booted_overhead_mib),
            ("clone_mib", self.clone_mib),
            ("shared_mib", self.shared_mib),
            ("supervisor_mib", self.supervisor_mib),
            ("rest_cores", self.rest_cores),
            ("boot.core_seconds", self.boot.core_seconds),
            ("boot.seconds", self.boot.seconds),
            ("clone.core_seconds", self.clone.core_seconds),
            ("clone.seconds", self.clone.seconds),
            ("update.core_seconds", self.update.core_seconds),
            ("update.seconds", self.update.seconds),
        ] {
            if !(value.is_finite() && value > 0.0 && value < 1e9) {
                return Err(PlanError::Figure { name, value });
            }
        }
        Ok(self)
    }
}

/// Returns the CPU time of a running guest at the last sample in which all were up.
fn rest_cores(events: &[Event]) -> Option<f64> {
    events.iter().rev().find_map(|event| match event.kind {
        EventKind::Sample {
            up, running, cpu, ..
        } if up > 0 && up == running && cpu > 0.0 => Some(cpu / f64::from(running)),
        _ => None,
    })
}

/// Returns the work of a first boot, as if all cores had been busy until the last guest was up.
fn boot(events: &[Event], cores: f64) -> Option<Work> {
    let mut seen = std::collections::BTreeSet::new();
    let mut last = None;
    let mut times = vec![];
    for event in events {
        if let EventKind::State {
            id,
            state: State::Up,
            boot_seconds,
            ..
        } = event.kind
            && seen.insert(id)
        {
            last = Some(event.at);
            times.extend(boot_seconds);
        }
    }
    let seconds = times.into_iter().reduce(f64::min)?;
    work(last?, float(seen.len() as u64), cores, seconds)
}

/// Returns the work of the last update that ended.
fn update(events: &[Event], cores: f64) -> Option<Work> {
    let mut began = None;
    let mut first = None;
    let mut found = None;
    for event in events {
        let EventKind::Update(update) = &event.kind else {
            continue;
        };
        let settled = update.validated + update.reverted + update.failed + update.lost;
        if settled == 0 {
            began = Some(event.at);
            first = None;
            continue;
        }
        let (Some(began), true) = (began, update.total > 0) else {
            continue;
        };
        let first = *first.get_or_insert(event.at - began);
        if settled == update.total {
            found = work(event.at - began, f64::from(update.total), cores, first);
        }
    }
    found
}

fn work(elapsed: f64, guests: f64, cores: f64, seconds: f64) -> Option<Work> {
    let work = Work {
        core_seconds: elapsed * cores / guests,
        seconds,
    };
    (work.core_seconds > 0.0 && work.seconds > 0.0).then_some(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Guest, Host, Memory, Update};

    #[test]
    fn the_project_s_own_figures_can_be_computed_with() {
        Measured::emulated().check().unwrap();
        Measured::kvm().check().unwrap();
    }

    #[test]
    fn figures_that_are_no_amounts_are_named() {
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let measured = Measured {
                rest_cores: value,
                ..Measured::emulated()
            };
            let error = measured.check().unwrap_err().to_string();
            assert!(error.starts_with("rest_cores is "), "{error}");
        }
    }

    #[test]
    fn a_fleet_gives_its_own_figures() {
        let event = |at, kind| Event { at, kind };
        let up = |at, id| {
            event(
                at,
                EventKind::State {
                    id,
                    state: State::Up,
                    slot: None,
                    boot_seconds: Some(at - f64::from(id)),
                },
            )
        };
        let update = |at, validated| {
            event(
                at,
                EventKind::Update(Update {
                    total: 2,
                    validated,
                    ..Update::default()
                }),
            )
        };
        let events = [
            up(5.0, 1),
            up(8.0, 2),
            up(9.0, 2),
            event(
                20.0,
                EventKind::Sample {
                    up: 2,
                    running: 2,
                    pss: 0,
                    sampled: 0,
                    cpu: 0.02,
                    available: 0,
                },
            ),
            update(30.0, 0),
            update(36.0, 1),
            update(40.0, 2),
        ];
        let guest = Guest {
            memory: Some(Memory {
                pss: 100 * 1024,
                ..Memory::default()
            }),
            ..Guest::default()
        };
        let status = Status {
            memory_mib: 80,
            supervisor_rss: 10 * 1024,
            host: Host {
                cpus: 2,
                ..Host::default()
            },
            guests: vec![guest.clone(), guest],
            ..Status::default()
        };
        let measured = Measured::emulated().with_fleet(&status, &events);
        let expected = Measured {
            source: "a fleet of 2 guests".to_owned(),
            booted_overhead_mib: 20.0,
            supervisor_mib: 5.0,
            rest_cores: 0.01,
            boot: Work {
                core_seconds: 8.0,
                seconds: 4.0,
            },
            update: Work {
                core_seconds: 10.0,
                seconds: 6.0,
            },
            ..Measured::emulated()
        };
        assert_eq!(measured, expected);
        let nothing = Measured::emulated().with_fleet(&Status::default(), &[]);
        assert_eq!(nothing.boot, Measured::emulated().boot);
        nothing.check().unwrap();
    }
}
