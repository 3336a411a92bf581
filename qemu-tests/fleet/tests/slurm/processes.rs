// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processes of a test.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Returns the processes that work in `folder` or below, or whose command line names it.
pub(crate) fn of(folder: &Path) -> Vec<u32> {
    let text = folder.to_string_lossy();
    let entries = fs::read_dir("/proc").expect("processes");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let works = fs::read_link(format!("/proc/{pid}/cwd"));
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            *pid != std::process::id()
                && (works.is_ok_and(|cwd| cwd.starts_with(folder))
                    || String::from_utf8_lossy(&words).contains(&*text))
        })
        .collect()
}

/// Returns the parent of a process, if it is one of Slurm's for a job.
pub(crate) fn step_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
    let name = fs::read_to_string(format!("/proc/{parent}/comm")).ok()?;
    (name.trim() == "slurmstepd").then(|| parent.parse().ok())?
}

/// Kills a process; one that has ended need not be killed.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
