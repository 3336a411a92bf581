// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures of a fleet that a user has run.

use std::collections::BTreeSet;

use super::measured::{Measured, Work};
use crate::model::{Event, EventKind, State, Status};
use crate::totals::{Percentiles, float};

impl Measured {
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
    let mut seen = BTreeSet::new();
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
