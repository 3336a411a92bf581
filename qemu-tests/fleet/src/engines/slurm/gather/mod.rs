// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state of a whole job from the files of its tasks.

use std::collections::BTreeMap;
use std::path::Path;

use super::attempt::{self, Record};
use super::job::{Chunk, Job};
use crate::identity;
use crate::model::{Guest, Host, State, Status, Update};
use crate::totals::float;

/// How many refreshes a task may miss before it counts as silent.
const MISSED: u32 = 4;
/// The seconds that clocks and file systems may be late in addition.
const LATE: f64 = 5.0;

/// Returns the state of all guests of the job in `folder`. Those of a task that is silent count as
/// gone, those of one that has not started as waiting.
///
/// # Errors
/// When the folder is not that of a job, or a task's file cannot be read.
pub fn status(folder: &Path) -> anyhow::Result<Status> {
    let job = Job::read(folder)?;
    let mut records = vec![];
    for task in 0..job.tasks() {
        records.push(Record::read(&attempt::folder(folder, task))?);
    }
    Ok(merged(&job, records, attempt::now()))
}

impl Record {
    /// Returns for how many seconds the task has been silent, if it is, at `now`.
    pub(super) fn silence(&self, refresh: u32, now: f64) -> Option<f64> {
        let age = now - self.written;
        let limit = f64::from(refresh) * f64::from(MISSED) + LATE;
        (!self.ended && age > limit).then_some(age)
    }
}

/// Returns the state of `job`, the tasks of which have left `records`.
fn merged(job: &Job, records: Vec<Option<Record>>, now: f64) -> Status {
    let began = records.iter().flatten().map(|record| record.began).min();
    let began = began.unwrap_or_default();
    let mut status = Status {
        image: job.settings.image.path.clone(),
        started: began,
        accelerator: job.settings.accelerator.clone(),
        memory_mib: job.settings.memory_mib,
        ..Status::default()
    };
    let mut nodes = BTreeMap::new();
    let mut held = vec![];
    let mut waiting = 0_u32;
    let mut updates = vec![];
    for (task, record) in (0_u32..).zip(records) {
        let Some(chunk) = job.chunk_of(task) else {
            break;
        };
        let Some(record) = record else {
            waiting += 1;
            status.guests.extend(ids(chunk).map(unstarted));
            continue;
        };
        let silence = record.silence(job.refresh, now).map(|seconds| {
            let node = &record.attempt.node;
            format!("task {task} on node {node} has been silent for {seconds:.0} s")
        });
        let Record {
            attempt,
            written,
            ended,
            status: task_status,
            ..
        } = record;
        let offset = float(task_status.started.saturating_sub(began));
        let end = if ended || silence.is_some() {
            written
        } else {
            now
        };
        status.elapsed = status.elapsed.max(end - float(began));
        if silence.is_none() && !ended {
            nodes.insert(attempt.node, task_status.host);
            status.supervisor_rss += task_status.supervisor_rss;
            status.starting |= task_status.starting;
            held.extend(task_status.held.map(|held| format!("task {task}: {held}")));
        }
        held.extend(silence.clone());
        updates.extend(task_status.update);
        let mut known: BTreeMap<_, _> = task_status
            .guests
            .into_iter()
            .map(|guest| (guest.id, guest))
            .collect();
        status.guests.extend(ids(chunk).map(|id| {
            let mut guest = known.remove(&id).unwrap_or_else(|| unstarted(id));
            guest.since += offset;
            match &silence {
                Some(text) => lost(guest, text),
                None => guest,
            }
        }));
    }
    if waiting > 0 {
        held.push(format!(
            "{waiting} of {} tasks have not started",
            job.tasks()
        ));
    }
    status.held = (!held.is_empty()).then(|| held.join("; "));
    status.host = sum_of_hosts(nodes.values());
    status.update = sum_of_updates(&updates);
    status
}

fn ids(chunk: Chunk) -> impl Iterator<Item = u32> {
    chunk.first..chunk.first.saturating_add(chunk.count)
}

fn unstarted(id: u32) -> Guest {
    Guest {
        id,
        serial: identity::serial(id),
        host: identity::host(id),
        ..Guest::default()
    }
}

/// Returns a guest of which nothing is known any more, except what it was.
fn lost(guest: Guest, text: &str) -> Guest {
    Guest {
        state: State::Gone,
        pid: None,
        port: None,
        uptime: None,
        memory: None,
        cpu: None,
        message: Some(text.to_owned()),
        ..guest
    }
}

pub(super) fn sum_of_hosts<'a>(hosts: impl Iterator<Item = &'a Host>) -> Host {
    hosts.fold(Host::default(), |sum, host| Host {
        cpus: sum.cpus + host.cpus,
        memory: sum.memory + host.memory,
        available: sum.available + host.available,
        load: sum.load + host.load,
    })
}

/// Returns the progress of an update that each task makes by itself.
pub(super) fn sum_of_updates(updates: &[Update]) -> Option<Update> {
    let shown = updates.iter().find(|update| update.is_running());
    let mut sum = shown.or(updates.first())?.clone();
    let total = |part: fn(&Update) -> u32| updates.iter().map(part).sum();
    sum.total = total(|update| update.total);
    sum.pending = total(|update| update.pending);
    sum.writing = total(|update| update.writing);
    sum.trying = total(|update| update.trying);
    sum.validated = total(|update| update.validated);
    sum.reverted = total(|update| update.reverted);
    sum.failed = total(|update| update.failed);
    sum.lost = total(|update| update.lost);
    Some(sum)
}

#[cfg(test)]
mod tests;
