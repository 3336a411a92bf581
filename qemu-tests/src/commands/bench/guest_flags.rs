// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --guest-flags`: Erlang guests side by side, each without one of the settings
//! for small guests.

use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fleet::process;

use qemu_tests::bench::host;
use qemu_tests::guests::{self, Kind};
use qemu_tests::{paths, setup};

use super::fleet::{Fleet, SETTLE};
use super::results::keep;
use crate::commands::build;

/// How long the CPU time at rest is measured.
const REST: Duration = Duration::from_secs(60);

/// The settings, and what puts the default in the place of each: flags that override those of
/// `vm.args`, or a command. The defaults are those of OTP 25, by `erl(1)` and
/// `erlang:system_info({allocator, A})`, and of Linux.
const SETTINGS: [(&str, &str); 17] = [
    ("none", ":"),
    ("none, again", ":"),
    ("+SDio 1", "+SDio 10"),
    ("+sbwt none", "+sbwt medium"),
    ("+sbwtdcpu none", "+sbwtdcpu short"),
    ("+sbwtdio none", "+sbwtdio short"),
    ("+P 16384", "+P 262144"),
    ("+Q 4096", "+Q 65536"),
    ("+MH…", "+MHsmbcs 1024 +MHlmbcs 10240 +MHmbcgs 10"),
    ("+MB…", "+MBsmbcs 1024 +MBlmbcs 10240 +MBmbcgs 10"),
    ("+ME…", "+MEsmbcs 1024 +MElmbcs 10240"),
    ("+ML…", "+MLsmbcs 1024 +MLlmbcs 10240"),
    ("+MD…", "+MDsmbcs 1024 +MDlmbcs 10240"),
    ("+MS…", "+MSsmbcs 1024 +MSlmbcs 10240"),
    ("+MMmcs 0", "+MMmcs 10"),
    (
        "vm.dirty_writeback_centisecs",
        "sysctl -w vm.dirty_writeback_centisecs=500",
    ),
    ("vm.stat_interval", "sysctl -w vm.stat_interval=1"),
];

/// The figures: MemAvailable in the guest, RssAnon and Threads of Erlang, PSS and CPU time of QEMU.
const FIGURES: &str = "available, MiB | anonymous, MiB | threads | PSS, MiB | CPU in 60 s, ms";

/// A setting and the figures without it; a guest that did not come up has none.
type Row = (&'static str, [Option<f64>; 5]);

/// Measures the guests.
pub(super) fn main(as_json: bool) -> Result<ExitCode> {
    setup::ensure(Kind::Erlang.purpose())?;
    let loader = build::default_loader()?;
    let image = guests::usual_image(Kind::Erlang)?;
    let folder = tempfile::tempdir_in(paths::target())?;
    let fleet = Fleet(folder.path());
    let (count, memory) = (SETTINGS.len(), Kind::Erlang.memory_mib());
    let (count, memory) = (count.to_string(), format!("{memory}M"));
    let (loader, image) = (loader.to_string_lossy(), image.to_string_lossy());
    // Clones only save time here: all guests boot again with their settings.
    let mut start = vec!["start", "--detach", "--clones", "--accel", "tcg"];
    // A host that merges equal pages would do so at its own pace.
    start.extend(["--qemu-argument=-machine", "--qemu-argument=mem-merge=off"]);
    start.extend(["--count", &count, "--memory", &memory]);
    start.extend(["--loader", &loader, "--image", &image]);
    ensure!(fleet.command(&start).status()?.success(), "no fleet");
    let rows = measure(&fleet)?;
    let json = keep("bench-guest-flags.json", &rows)?;
    if as_json {
        println!("{json}");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}\n\n| all but | {FIGURES} |", host::describe()?);
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, figures) in rows {
        let text = |figure: Option<f64>| figure.map_or("–".into(), |value| format!("{value:.1}"));
        println!("| `{name}` | {} |", figures.map(text).join(" | "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures all guests after they have booted with their settings.
fn measure(fleet: &Fleet<'_>) -> Result<Vec<Row>> {
    let apply = |are_flags: bool| -> Result<()> {
        for (id, (_, default)) in (1..).zip(SETTINGS) {
            match (default.starts_with('+'), are_flags) {
                (true, true) => ask(fleet, id, &format!("echo '{default}' >/data/vm.args; sync"))?,
                (false, false) => ask(fleet, id, default)?,
                _ => String::new(),
            };
        }
        Ok(())
    };
    apply(true)?;
    fleet.command(&["restart", "--all"]).status()?;
    let begun = Instant::now();
    let is_passing = |fleet: &Fleet<'_>| -> Result<bool> {
        let guests = fleet.status()?.guests;
        Ok(guests.iter().any(|guest| guest.state.is_passing()))
    };
    while is_passing(fleet)? && begun.elapsed() < 15 * REST {
        thread::sleep(Duration::from_secs(1));
    }
    apply(false)?;
    thread::sleep(SETTLE);
    let guests = fleet.status()?.guests;
    let usages = || guests.iter().map(|guest| process::usage(guest.pid?));
    let before: Vec<_> = usages().collect();
    thread::sleep(REST);
    let after: Vec<_> = usages().collect();
    let figures = (1..)
        .zip(before.into_iter().zip(after))
        .map(|(id, (before, after))| {
            let status = "cat /proc/meminfo /proc/$(pidof beam.smp)/status";
            let inside = ask(fleet, id, status).unwrap_or_default();
            let mib = |kib: f64| kib / 1024.0;
            [
                field(&inside, "MemAvailable:").map(mib),
                field(&inside, "RssAnon:").map(mib),
                field(&inside, "Threads:"),
                after.and_then(|usage| Some(mib(usage.memory?.pss as f64))),
                after.and_then(|usage| Some(1e3 * (usage.cpu_seconds? - before?.cpu_seconds?))),
            ]
        });
    Ok(SETTINGS
        .iter()
        .map(|(name, _)| *name)
        .zip(figures)
        .collect())
}

/// Executes a command in a guest; returns its output.
fn ask(fleet: &Fleet<'_>, id: u32, line: &str) -> Result<String> {
    let mut command = fleet.command(&["exec", &id.to_string(), "--", line]);
    let output = command.stdout(Stdio::piped()).output()?;
    ensure!(
        output.status.success(),
        "guest {id} cannot execute {line:?}"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the number after `name` in a file of procfs.
fn field(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.next()?.split_whitespace().next()?.parse().ok()
}
