// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts the guests that were asked for, one chunk after the other.

use std::time::Duration;

use super::handle::Handle;
use super::shared::Batch;
use super::template;
use crate::error::FleetError;
use crate::host;
use crate::limits;
use crate::model::State;
use crate::pace::{Circumstances, Decision};

/// The pause before a decision to wait is made anew.
const HELD: Duration = Duration::from_millis(500);
/// How long a guest that does not come up counts as one that boots.
const PATIENCE: Duration = Duration::from_secs(300);
/// What a guest takes of the host's memory in addition to its RAM before any was measured, in MiB.
const OVERHEAD: u64 = 40;

/// Starts all batches, in turn.
pub(super) async fn start(handle: Handle) {
    loop {
        let batch = {
            let mut inner = handle.shared.lock();
            let batch = inner.batches.pop_front();
            inner.has_batch = batch.is_some();
            batch
        };
        match batch {
            Some(batch) => start_batch(&handle, batch).await,
            None => handle.shared.batch_added.notified().await,
        }
    }
}

async fn start_batch(handle: &Handle, batch: Batch) {
    let request = batch.request;
    let end = batch.first.saturating_add(request.count);
    let mut next = batch.first;
    template::ensure(handle, batch.first..end).await;
    while next < end && !handle.shared.lock().is_ending {
        let chunk = request.chunk.max(1).min(end - next);
        match circumstances(handle, chunk, request.limit_mib).decide() {
            Decision::Start(count) => {
                if request.fill
                    && let Err(error) = add(handle, next, count)
                {
                    return refuse(handle, next..end, true, &error.to_string());
                }
                handle.hold(None);
                for id in next..next + count {
                    let state = handle.guest(id).map(|guest| guest.state);
                    if state.is_ok_and(|state| state == State::Waiting) {
                        // The guest is new, so nothing runs it.
                        let _ = handle.launch(id);
                    }
                    tokio::task::yield_now().await;
                }
                next += count;
                if next < end {
                    tokio::time::sleep(Duration::from_secs_f64(request.delay.max(0.0))).await;
                }
            }
            Decision::Hold(reason) => {
                handle.hold(Some(reason));
                // A guest that has come up makes room for another.
                let settled = handle.shared.settled.notified();
                let _ = tokio::time::timeout(HELD, settled).await;
            }
            Decision::Full(reason) => {
                refuse(handle, next..end, request.fill, &reason);
                return;
            }
        }
    }
}

/// Adds guests while the memory is being filled.
fn add(handle: &Handle, first: u32, count: u32) -> Result<(), FleetError> {
    let mut inner = handle.shared.lock();
    limits::check(first - inner.first + count)?;
    inner.add(count);
    Ok(())
}

/// Ends a batch because its last guests do not fit.
fn refuse(handle: &Handle, guests: std::ops::Range<u32>, fill: bool, reason: &str) {
    handle.hold(Some(if fill {
        let fitted = guests.start - handle.settings().first;
        format!("full with {fitted} guests: {reason}")
    } else {
        format!(
            "guests {} to {} are not started: {reason}; start fewer, or lower --memory or --reserve",
            guests.start,
            guests.end - 1
        )
    }));
    if fill {
        return;
    }
    for id in guests {
        // All of them exist.
        let _ = handle.edit(id, |guest| {
            guest.state = State::Stopped;
            guest.message = Some("not started: no memory left".to_owned());
        });
    }
}

fn circumstances(handle: &Handle, chunk: u32, limit_mib: Option<u64>) -> Circumstances {
    let settings = handle.settings();
    let mut host = host::measure();
    let inner = handle.shared.lock();
    let mut measured = Vec::new();
    let (mut booting, mut used) = (0, 0);
    let mut running = Vec::new();
    for entry in &inner.entries {
        let guest = &entry.guest;
        let has_runner = guest.pid.is_some();
        let pss = guest.memory.map(|memory| memory.pss);
        if guest.state.is_up() {
            measured.extend(pss);
        } else if has_runner && !matches!(guest.state, State::Fatal | State::Updating) {
            // A guest that never comes up must not hold back the others for good.
            booting += u32::from(entry.booted.elapsed() < PATIENCE);
        }
        if has_runner {
            // A clone that has answered takes little more later, so it need not be measured first.
            let has_taken = guest.state.is_up() && (guest.cloned || pss.is_some());
            running.push((has_taken, pss));
        }
    }
    // Of its RAM, a clone takes only what it writes.
    let memory_mib = match (&settings.clones, inner.template.ready()) {
        (Some(clones), Some(_)) => clones.tb_size_mib,
        _ => settings.memory_mib,
    };
    let per_guest =
        median(&mut measured).unwrap_or_else(|| (u64::from(memory_mib) + OVERHEAD) << 10);
    let mut outstanding = 0;
    for (has_taken, pss) in running {
        used += pss.unwrap_or(per_guest);
        if !has_taken {
            outstanding += per_guest.saturating_sub(pss.unwrap_or_default());
        }
    }
    if let Some(limit) = limit_mib {
        // What the limit leaves is treated like the host's memory.
        let left = (limit << 10).saturating_sub(used);
        host.available = host
            .available
            .min(left + outstanding + (settings.reserve_mib << 10));
    }
    Circumstances {
        host,
        pressure: host::pressure(),
        reserve: settings.reserve_mib << 10,
        per_guest,
        outstanding,
        booting,
        max_booting: settings.max_booting,
        is_merging: settings.ksm && inner.has_new_guests(),
        chunk,
    }
}

fn median(values: &mut [u64]) -> Option<u64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable(middle);
    Some(*median)
}
