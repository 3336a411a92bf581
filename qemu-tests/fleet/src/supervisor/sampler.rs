// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures the guests and the host, at a bounded cost.

use std::time::{Duration, Instant};

use super::handle::Handle;
use crate::host;
use crate::model::EventKind;
use crate::process;

/// The shortest time between two samples of the same guest.
const ROUND: Duration = Duration::from_secs(5);
/// The time between two samples of the whole fleet.
const FLEET: Duration = Duration::from_secs(2);
/// How much longer the pause after a sample is than the sample.
const PAUSE: u32 = 20;

/// Measures the guests in turn, again and again.
pub(super) async fn sample(handle: Handle) {
    let mut next = 1;
    let mut fleet_at = Instant::now();
    loop {
        if fleet_at.elapsed() >= FLEET {
            fleet_at = Instant::now();
            sample_fleet(&handle);
        }
        let begun = Instant::now();
        let (count, guest) = next_guest(&handle, &mut next);
        if let Some((id, pid)) = guest {
            sample_guest(&handle, id, pid);
        }
        let share = ROUND / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let pause = share.max(begun.elapsed() * PAUSE).min(FLEET / 2);
        tokio::time::sleep(pause).await;
    }
}

/// Returns how many guests run, and the next one of them.
fn next_guest(handle: &Handle, next: &mut u32) -> (usize, Option<(u32, u32)>) {
    let inner = handle.shared.lock();
    let guests = inner.entries.iter().map(|entry| &entry.guest);
    let (mut count, mut first, mut following) = (0, None, None);
    for (id, pid) in guests.filter_map(|guest| Some((guest.id, guest.pid?))) {
        count += 1;
        first.get_or_insert((id, pid));
        if id >= *next {
            following.get_or_insert((id, pid));
        }
    }
    let guest = following.or(first);
    if let Some((id, _)) = guest {
        *next = id + 1;
    }
    (count, guest)
}

/// Measures the process of one guest. One that has just ended has no measurements.
fn sample_guest(handle: &Handle, id: u32, pid: u32) {
    let Some(usage) = process::usage(pid) else {
        return;
    };
    let now = Instant::now();
    handle.shared.change(id, |entry| {
        if entry.guest.pid != Some(pid) {
            return;
        }
        entry.guest.memory = usage.memory.or(entry.guest.memory);
        let Some(seconds) = usage.cpu_seconds else {
            return;
        };
        if let Some((before, at)) = entry.cpu_time.replace((seconds, now)) {
            entry.guest.cpu = Some((seconds - before) / (now - at).as_secs_f64());
        }
    });
}

/// Measures the host, and adds the sums over all guests to the history.
fn sample_fleet(handle: &Handle) {
    let at = handle.shared.elapsed();
    let host = host::measure();
    let mut inner = handle.shared.lock();
    inner.host = host;
    let (mut up, mut running, mut pss, mut sampled, mut cpu) = (0, 0, 0, 0, 0.0);
    for guest in inner.entries.iter().map(|entry| &entry.guest) {
        up += u32::from(guest.state.is_up());
        running += u32::from(guest.pid.is_some());
        if let Some(memory) = guest.memory {
            pss += memory.pss;
            sampled += 1;
        }
        cpu += guest.cpu.unwrap_or_default();
    }
    let kind = EventKind::Sample {
        up,
        running,
        pss,
        sampled,
        cpu,
        available: host.available,
    };
    inner.record(at, kind);
    inner.flush();
}
