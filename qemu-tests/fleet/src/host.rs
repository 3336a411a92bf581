// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures the host: memory, load and pressure.

use std::fs;
use std::thread;

use crate::model::Host;

/// How much the tasks of the host wait, in percent of the last 10 seconds. Zero where the system
/// does not measure it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waits for memory.
    pub memory: f64,
    /// All tasks wait for memory.
    pub memory_full: f64,
}

/// Measures the host's resources.
#[must_use]
pub fn measure() -> Host {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Host {
        cpus: thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory: meminfo(&text, "MemTotal:"),
        available: meminfo(&text, "MemAvailable:"),
        load: load
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or_default(),
    }
}

/// Measures the host's pressure.
#[must_use]
pub fn pressure() -> Pressure {
    let text = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
    Pressure {
        memory: average(&text, "some "),
        memory_full: average(&text, "full "),
    }
}

/// Returns the resident set size of this process, in KiB.
#[must_use]
pub fn own_rss() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    meminfo(&text, "VmRSS:")
}

fn meminfo(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

fn average(text: &str, line: &str) -> f64 {
    let mut lines = text.lines();
    lines
        .find_map(|text| text.strip_prefix(line))
        .and_then(|rest| rest.split(' ').next()?.strip_prefix("avg10=")?.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read() {
        let text = "MemTotal:       24683520 kB\nMemFree:   1 kB\nMemAvailable:   22937600 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), 24_683_520);
        assert_eq!(meminfo(text, "MemAvailable:"), 22_937_600);
        let text = "some avg10=0.41 avg60=1.22 avg300=1.05 total=21732915\n\
                    full avg10=0.07 avg60=0.00 avg300=0.03 total=10237075\n";
        assert_eq!(average(text, "some "), 0.41);
        assert_eq!(average(text, "full "), 0.07);
        assert_eq!(average("", "some "), 0.0);
    }
}
