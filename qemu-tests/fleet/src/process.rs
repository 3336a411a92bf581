// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures the process of a guest.

use crate::model::Memory;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Its memory, if the system tells.
    pub memory: Option<Memory>,
    /// The CPU time of all its threads, in seconds.
    pub cpu_seconds: Option<f64>,
}

/// Measures process `pid`; returns `None` if it has ended, or the system has no procfs.
///
/// The sum of a large process's pages takes the system milliseconds.
#[cfg(target_os = "linux")]
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let process = procfs::process::Process::new(pid.try_into().ok()?).ok()?;
    let ticks = process.stat().ok().map(|stat| stat.utime + stat.stime);
    Some(Usage {
        memory: memory(&process),
        cpu_seconds: ticks.map(|ticks| ticks as f64 / procfs::ticks_per_second() as f64),
    })
}

#[cfg(target_os = "linux")]
fn memory(process: &procfs::process::Process) -> Option<Memory> {
    let sums = process.smaps_rollup().ok()?.memory_map_rollup;
    let map = &sums.into_iter().next()?.extension.map;
    let kib = |name: &str| map.get(name).map_or(0, |bytes| bytes / 1024);
    Some(Memory {
        pss: kib("Pss"),
        rss: kib("Rss"),
        private: kib("Private_Clean") + kib("Private_Dirty"),
    })
}

/// Measures process `pid`; returns `None` if it has ended, or the system has no procfs.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn usage(_: u32) -> Option<Usage> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        let usage = usage(std::process::id()).unwrap();
        let memory = usage.memory.unwrap();
        assert!(memory.private > 0 && memory.private <= memory.pss && memory.pss <= memory.rss);
        assert!(usage.cpu_seconds.is_some());
        assert_eq!(super::usage(u32::MAX), None);
    }
}
