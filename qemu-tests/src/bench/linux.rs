// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cost of booting Linux, and the memory left to it.

use std::fs;
use std::time::{Duration, Instant};

use super::BenchError;
use crate::harness::machine::Machine;
use crate::harness::report::ReportError;

/// The demo's last line before its shell.
pub(super) const USERSPACE: &str = "Leave by: poweroff";

/// The time limit of a boot.
const LIMIT: Duration = Duration::from_secs(120);

/// Returns `MemTotal` of a guest's `/proc/meminfo` in kB, as read in the demo's shell.
///
/// # Errors
/// When the guest does not reach its shell or does not answer.
pub fn memory_total(machine: &Machine) -> Result<u64, BenchError> {
    let mut running = machine.clone().time_limit(LIMIT).start()?;
    running.expect(USERSPACE)?;
    running.type_line("grep MemTotal /proc/meminfo; poweroff")?;
    let serial = running.wait_for_exit()?.serial;
    let total = serial.lines().find_map(|line| {
        line.trim_start()
            .strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse()
            .ok()
    });
    total.ok_or_else(|| ReportError::Absent("MemTotal".to_owned()).into())
}

/// The cost of one boot to userspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// From QEMU's start to the demo's last line before its shell.
    pub time: Duration,
    /// QEMU's peak memory until then in KiB, including the guest's; `None` if the system does not
    /// report it.
    pub peak_kib: Option<u64>,
}

/// Boots `machines` in turn, `rounds` times, so that other load on the host affects all of them
/// alike; returns the medians of each.
///
/// # Errors
/// When a machine does not reach userspace.
pub fn boots<const N: usize>(
    machines: [&Machine; N],
    rounds: usize,
) -> Result<[Boot; N], BenchError> {
    let mut times = [const { Vec::new() }; N];
    let mut peaks = [const { Vec::new() }; N];
    for round in 0..rounds {
        for index in order(N, round) {
            let machine = machines[index];
            let begun = Instant::now();
            let mut running = machine.clone().time_limit(LIMIT).start()?;
            running.expect(USERSPACE)?;
            times[index].push(begun.elapsed());
            peaks[index].extend(peak(running.process_id()));
        }
    }
    Ok(std::array::from_fn(|index| Boot {
        time: median(&mut times[index]),
        peak_kib: median_of_any(&mut peaks[index]),
    }))
}

/// Returns the order in which `count` machines start: reversed in every other round, because a
/// later machine may profit from warm caches.
pub(super) fn order(count: usize, round: usize) -> Vec<usize> {
    let order = 0..count;
    if round.is_multiple_of(2) {
        order.collect()
    } else {
        order.rev().collect()
    }
}

/// Returns the median: the greater of the middle two for an even number of values, the default for
/// none.
pub(super) fn median<T: Copy + Default + Ord>(values: &mut [T]) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Returns the median as [`median`] does; `None` for no values.
pub(super) fn median_of_any(values: &mut [u64]) -> Option<u64> {
    (!values.is_empty()).then(|| median(values))
}

/// Returns the peak resident memory of a process in KiB (proc(5), `/proc/pid/status`, `VmHWM`);
/// `None` if the system does not report it, or the process has ended.
#[must_use]
pub fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak = line.trim().strip_suffix(" kB")?.trim().parse().ok();
    // A program that is just being started has none yet.
    peak.filter(|kib| *kib > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [9, 1, 5]), 5);
        assert_eq!(median(&mut [4, 1]), 4);
        assert_eq!(median::<u64>(&mut []), 0);
        assert_eq!(median_of_any(&mut []), None);
        assert_eq!(median_of_any(&mut [4, 1]), Some(4));
    }

    #[test]
    fn every_machine_has_its_turn() {
        assert_eq!(order(3, 0), [0, 1, 2]);
        assert_eq!(order(3, 1), [2, 1, 0]);
    }

    #[test]
    fn this_process_has_memory() {
        if cfg!(target_os = "linux") {
            assert!(peak(std::process::id()) > Some(100));
        }
        assert_eq!(peak(0), None);
    }
}
