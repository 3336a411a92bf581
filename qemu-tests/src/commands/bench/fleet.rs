// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --fleet`: what a fleet of Erlang guests costs, booted and cloned.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use fleet::control::Client;
use fleet::folder::Folder;
use fleet::ksm;
use fleet::model::{Guest, Status};
use serde::Serialize;

use qemu_tests::bench::host;
use qemu_tests::guests::{self, Kind};
use qemu_tests::paths;
use qemu_tests::setup;

use super::results::keep;
use crate::commands::build;

/// How long guests come to rest before they are measured.
pub(super) const SETTLE: Duration = Duration::from_secs(90);
/// How much longer the host takes to merge equal pages.
const MERGE: Duration = Duration::from_secs(90);
/// The longest time for starting a fleet, in seconds.
const LIMIT: u32 = 3600;

/// The most that a booted guest may take in addition to its RAM, in MiB.
const OVERHEAD: f64 = 40.0;
/// The most that a clone may take, in MiB.
const CLONE: f64 = 20.0;
/// The most CPU time at rest, in percent of a core.
const REST: f64 = 0.2;
/// The longest time from the command to the last clone's answer, in seconds, for 1,000 of them.
const CLONES_WITHIN: f64 = 240.0;
/// The most that the supervisor may take, in MiB.
const SUPERVISOR: f64 = 50.0;

/// One figure of a fleet.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    aim: Option<f64>,
}

/// The figures of one fleet.
#[derive(Clone, Debug, Serialize)]
struct Run {
    title: String,
    figures: Vec<Figure>,
}

/// Measures `booted` guests that boot, and `clones` of one template.
pub(super) fn main(booted: u32, clones: u32, as_json: bool) -> Result<ExitCode> {
    setup::ensure(Kind::Erlang.purpose())?;
    let loader = build::default_loader()?;
    let image = guests::usual_image(Kind::Erlang)?;
    let mut runs = Vec::new();
    if booted > 0 {
        runs.push(measure(&loader, &image, booted, false)?);
    }
    if clones > 0 {
        runs.push(measure(&loader, &image, clones, true)?);
    }
    let json = keep("bench-fleet.json", &runs)?;
    if as_json {
        println!("{json}");
    } else {
        println!("{}", host::describe()?);
        for run in &runs {
            print!("{}", table(run));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a fleet, lets it come to rest, and measures it.
fn measure(loader: &Path, image: &Path, count: u32, cloned: bool) -> Result<Run> {
    // What the host cannot do, or only root may ask for, is not part of the measurement.
    let merged = cloned && ksm::is_possible(Path::new(ksm::SYSFS));
    let kind = match (cloned, merged) {
        (true, true) => "clones of one template, equal pages merged",
        (true, false) => "clones of one template",
        (false, _) => "booted",
    };
    eprintln!("starting {count} guests, {kind}");
    let folder = tempfile::Builder::new()
        .prefix("fleet-")
        .tempdir_in(paths::target())
        .context("cannot make a folder in the target folder")?;
    let fleet = Fleet(folder.path());
    let (count_text, limit) = (count.to_string(), LIMIT.to_string());
    let memory = format!("{}M", Kind::Erlang.memory_mib());
    let mut words = vec![
        "start",
        "--detach",
        "--count",
        &count_text,
        "--memory",
        &memory,
        "--timeout",
        &limit,
        "--accel",
        "tcg",
    ];
    let (loader, image) = (loader.to_string_lossy(), image.to_string_lossy());
    words.extend(["--loader", &loader, "--image", &image]);
    if cloned {
        words.push("--clones");
    }
    if merged {
        words.push("--ksm");
    }
    let begun = Instant::now();
    let all_up = fleet.command(&words).status();
    let seconds = begun.elapsed().as_secs_f64();
    all_up.context("cannot start the fleet")?;
    let up = fleet.status()?.guests.into_iter();
    let up = up.filter(|guest| guest.state.is_up()).count();
    eprintln!("{up} of {count} are up after {seconds:.0} s; they come to rest");
    thread::sleep(if merged { SETTLE + MERGE } else { SETTLE });
    let status = fleet.status()?;
    Ok(Run {
        title: format!("{count} Erlang guests, {kind}"),
        figures: figures(&status, up, seconds, cloned),
    })
}

fn figures(status: &Status, up: usize, seconds: f64, cloned: bool) -> Vec<Figure> {
    let running: Vec<&Guest> = status
        .guests
        .iter()
        .filter(|guest| guest.state.is_up())
        .collect();
    let figure = |name: &str, value: f64, unit: &'static str, aim: Option<f64>| Figure {
        name: name.to_owned(),
        value,
        unit,
        aim,
    };
    let pss = running.iter().filter_map(|guest| guest.memory);
    let pss: Vec<f64> = pss.map(|memory| memory.pss as f64 / 1024.0).collect();
    let cpu: Vec<f64> = running.iter().filter_map(|guest| guest.cpu).collect();
    let identities: BTreeSet<_> = running.iter().map(|guest| &guest.serial).collect();
    let within = (cloned && status.guests.len() >= 1000).then_some(CLONES_WITHIN);
    let memory = if cloned {
        CLONE
    } else {
        f64::from(status.memory_mib) + OVERHEAD
    };
    let host = &status.host;
    vec![
        figure("guests up", up as f64, "", None),
        figure("identities among them", identities.len() as f64, "", None),
        figure("from the command to the last one up", seconds, "s", within),
        figure("PSS of a guest, mean", mean(&pss), "MiB", Some(memory)),
        figure("PSS of a guest, largest", largest(&pss), "MiB", None),
        figure(
            "CPU at rest, mean",
            100.0 * mean(&cpu),
            "% of a core",
            Some(REST),
        ),
        figure(
            "resident set of the supervisor",
            status.supervisor_rss as f64 / 1024.0,
            "MiB",
            Some(SUPERVISOR),
        ),
        figure(
            "memory left on the host",
            host.available as f64 / 1024.0,
            "MiB",
            None,
        ),
    ]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn table(run: &Run) -> String {
    let mut text = format!("\n{}\n", run.title);
    for figure in &run.figures {
        let aim = figure.aim.map_or_else(String::new, |aim| {
            let verdict = if figure.value <= aim {
                ""
            } else {
                ", exceeded"
            };
            format!("  (at most {aim}{verdict})")
        });
        text += &format!(
            "  {:38} {:>9.2} {}{aim}\n",
            figure.name, figure.value, figure.unit
        );
    }
    text
}

/// A fleet in a folder; dropping it stops its guests.
pub(super) struct Fleet<'a>(pub(super) &'a Path);

impl Fleet<'_> {
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let program = env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
        let mut command = Command::new(program);
        command.arg("fleet").arg("--state").arg(self.0).args(words);
        // Its lines are not the result.
        command.stdout(std::io::stderr());
        command
    }

    pub(super) fn status(&self) -> Result<Status> {
        Ok(Client::connect(&Folder::new(self.0)?)?.status()?)
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        // Without a supervisor, there are no guests either.
        let _ = self.command(&["stop", "--all"]).status();
    }
}

/// Parses `BOOTED,CLONES`.
pub(super) fn counts(text: &str) -> Result<(u32, u32)> {
    let Some((booted, clones)) = text.split_once(',') else {
        bail!("{text:?} is not BOOTED,CLONES, such as 40,1000");
    };
    let number = |text: &str| {
        text.trim()
            .parse()
            .with_context(|| format!("{text:?} is not a number of guests"))
    };
    Ok((number(booted)?, number(clones)?))
}

#[cfg(test)]
mod tests {
    use fleet::model::{Memory, State};

    use super::*;

    #[test]
    fn counts_of_guests() {
        assert_eq!(counts("40,1000").unwrap(), (40, 1000));
        for bad in ["40", "a,1", "1,-1", ""] {
            assert!(counts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_guests_that_are_up_count() {
        let guest = |state, pss| Guest {
            state,
            serial: format!("{pss}"),
            memory: Some(Memory {
                pss,
                ..Memory::default()
            }),
            cpu: Some(0.001),
            ..Guest::default()
        };
        let status = Status {
            memory_mib: 80,
            guests: vec![
                guest(State::Up, 1024),
                guest(State::Up, 3072),
                guest(State::Gone, 9999),
            ],
            ..Status::default()
        };
        let figures = figures(&status, 2, 9.0, false);
        let value = |name: &str| {
            let found = figures.iter().find(|figure| figure.name.starts_with(name));
            found.map(|figure| figure.value)
        };
        assert_eq!(value("identities"), Some(2.0));
        assert_eq!(value("PSS of a guest, mean"), Some(2.0));
        assert_eq!(value("PSS of a guest, largest"), Some(3.0));
        assert_eq!(value("CPU at rest"), Some(0.1));
        assert_eq!(figures[3].aim, Some(120.0));
    }
}
