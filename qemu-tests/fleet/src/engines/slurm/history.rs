// SPDX-License-Identifier: MIT OR Apache-2.0

//! What has happened in a whole job, from the histories of its tasks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;

use super::attempt::{self, Record};
use super::gather::sum_of_updates;
use super::job::Job;
use crate::model::{Event, EventKind, State, Update};
use crate::report;
use crate::totals::float;

/// The shortest time between two samples of all tasks, in seconds.
const SAMPLES: f64 = 2.0;

/// Returns the events of the job in `folder`, in the order of time.
///
/// # Errors
/// When the folder is not that of a job, or a task's files cannot be read.
pub fn events(folder: &Path) -> anyhow::Result<Vec<Event>> {
    let job = Job::read(folder)?;
    let now = attempt::now();
    let mut attempts = vec![];
    for task in 0..job.tasks() {
        let mut all = Record::all(&attempt::folder(folder, task))?;
        let newest = all.pop();
        attempts.extend(all.into_iter().map(|(record, path)| (record, path, true)));
        attempts.extend(newest.map(|(record, path)| {
            let is_over = record.ended || record.silence(job.refresh, now).is_some();
            (record, path, is_over)
        }));
    }
    let began = attempts.iter().map(|(record, ..)| record.began).min();
    let began = began.unwrap_or_default();
    let mut merger = vec![];
    for (record, path, is_over) in attempts {
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let events = report::read(BufReader::new(file))
            .with_context(|| format!("reading {}", path.display()))?;
        collect(&record, events, is_over, began, &mut merger);
    }
    Ok(merged(merger))
}

/// Something that happened in a task.
#[derive(Debug)]
struct Happened {
    at: f64,
    task: u32,
    node: String,
    /// Without an event, the attempt is over.
    kind: Option<EventKind>,
}

/// Adds the events of an attempt, with times since the job's start.
fn collect(
    record: &Record,
    events: Vec<Event>,
    is_over: bool,
    began: u64,
    happened: &mut Vec<Happened>,
) {
    let attempt = &record.attempt;
    let new = |at, kind| Happened {
        at,
        task: attempt.task,
        node: attempt.node.clone(),
        kind,
    };
    let offset = float(record.status.started.saturating_sub(began));
    let is_first = record.began == record.status.started;
    for event in events {
        // Guests that start again are not further ones.
        if is_first || !matches!(event.kind, EventKind::Start { .. }) {
            happened.push(new(offset + event.at, Some(event.kind)));
        }
    }
    if !is_over {
        return;
    }
    let end = record.written - float(began);
    // Nobody was left to say that they ended.
    let running = record.status.guests.iter();
    for guest in running.filter(|guest| guest.pid.is_some() && !record.ended) {
        let kind = EventKind::State {
            id: guest.id,
            state: State::Gone,
            slot: guest.slot.clone(),
            boot_seconds: None,
        };
        happened.push(new(end, Some(kind)));
    }
    happened.push(new(end, None));
}

/// Merges what happened in all tasks into the history of one fleet.
fn merged(mut happened: Vec<Happened>) -> Vec<Event> {
    happened.sort_by(|one, other| one.at.total_cmp(&other.at));
    let mut events = vec![];
    let mut samples: BTreeMap<u32, (String, EventKind)> = BTreeMap::new();
    let mut updates: BTreeMap<u32, Update> = BTreeMap::new();
    let mut sampled_at = f64::NEG_INFINITY;
    for Happened {
        at,
        task,
        node,
        kind,
    } in happened
    {
        match kind {
            Some(kind @ EventKind::Sample { .. }) => {
                samples.insert(task, (node, kind));
            }
            Some(EventKind::Update(update)) => {
                updates.insert(task, update);
                let updates: Vec<_> = updates.values().cloned().collect();
                let sum = sum_of_updates(&updates).map(EventKind::Update);
                events.extend(sum.map(|kind| Event { at, kind }));
                continue;
            }
            Some(kind) => {
                events.push(Event { at, kind });
                continue;
            }
            None => {
                samples.remove(&task);
            }
        }
        if at - sampled_at >= SAMPLES {
            sampled_at = at;
            let kind = sum_of_samples(samples.values());
            events.push(Event { at, kind });
        }
    }
    events
}

/// Returns the sample of the whole job from the last ones of its tasks. Tasks on the same node see the
/// same memory.
fn sum_of_samples<'a>(samples: impl Iterator<Item = &'a (String, EventKind)>) -> EventKind {
    let mut nodes = BTreeMap::new();
    let (mut up, mut running, mut pss, mut sampled, mut cpu) = (0, 0, 0, 0, 0.0);
    for (node, kind) in samples {
        if let EventKind::Sample {
            up: task_up,
            running: task_running,
            pss: task_pss,
            sampled: task_sampled,
            cpu: task_cpu,
            available,
        } = kind
        {
            up += task_up;
            running += task_running;
            pss += task_pss;
            sampled += task_sampled;
            cpu += task_cpu;
            nodes.insert(node, *available);
        }
    }
    EventKind::Sample {
        up,
        running,
        pss,
        sampled,
        cpu,
        available: nodes.values().sum(),
    }
}
