// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets of guests with Erlang: good and bad updates, by the guests and by the host, with guests
//! that are killed in the middle, and rollbacks.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use fleet::model::{Guest, State, Status};
use qemu_tests::artifacts::UPDATED;
use qemu_tests::harness::process;
use rustix::process::{Pid, Signal, kill_process};

use crate::context::{self, Context};
use crate::{Scenario, Test};

/// The time limit of a command, on a busy host.
const LIMIT: Duration = Duration::from_secs(900);

pub(crate) fn tests() -> Vec<Test> {
    named([("good_update_reaches_all_and_bad_one_none", by_guests)])
}

/// Further tests, which take minutes.
pub(crate) fn long_tests() -> Vec<Test> {
    named([
        ("killed_guests_are_not_lost_by_an_update", killed),
        ("host_updates_stopped_guests", by_host),
    ])
}

fn named<const N: usize>(tests: [(&str, Scenario); N]) -> Vec<Test> {
    tests
        .into_iter()
        .map(|(name, test)| (format!("fleet::{name}"), test))
        .collect()
}

/// A fleet in a folder of its own; dropping it stops its guests.
struct Fleet {
    state: PathBuf,
}

impl Fleet {
    /// Starts `count` guests and waits until they are up.
    fn start(context: &Context, count: u32) -> Result<Self> {
        let fleet = Self {
            state: context.path("fleet"),
        };
        let accelerator = context::accelerator().to_string();
        let output = fleet.run(&[
            "start",
            "--detach",
            "--count",
            &count.to_string(),
            "--image",
            &context.artifacts.erlang().to_string_lossy(),
            "--loader",
            &context.artifacts.loader().to_string_lossy(),
            "--memory",
            "80M",
            "--accel",
            &accelerator,
        ])?;
        ensure!(output.status.success(), "{}", fleet.describe(&output));
        Ok(fleet)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qemu-tests"));
        command
            .arg("fleet")
            .arg("--state")
            .arg(&self.state)
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .with_context(|| format!("running {}", process::shell_line(&self.command(arguments))))
    }

    /// Runs a command that has to succeed.
    fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{}", self.describe(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn status(&self) -> Result<Status> {
        let text = self.succeed(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("reading {text}"))
    }

    /// Expects that all guests are up, in this slot and with this version.
    fn expect_all(&self, slot: &str, version: &str) -> Result<()> {
        let wanted = |guest: &Guest| {
            guest.state.is_up()
                && guest.slot.as_deref() == Some(slot)
                && guest.version.as_deref() == Some(version)
        };
        let status = self.status()?;
        ensure!(
            !status.guests.is_empty() && status.guests.iter().all(wanted),
            "not all guests are up in slot {slot} with version {version}: {:#?}",
            status.guests
        );
        let versions = self.succeed(&["exec", "--all", "--", "cat /etc/fleet/version"])?;
        ensure!(
            versions.matches(version).count() == status.guests.len(),
            "not all guests have version {version}: {versions}"
        );
        Ok(())
    }

    /// Waits until guest `id` is in a state that `wanted` accepts, and returns it.
    fn wait_for(&self, id: u32, wanted: impl Fn(&Guest) -> bool) -> Result<Guest> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status()?;
            let guest = status.guests.into_iter().find(|guest| guest.id == id);
            let guest = guest.with_context(|| format!("there is no guest {id}"))?;
            if wanted(&guest) {
                return Ok(guest);
            }
            if Instant::now() > deadline {
                bail!("guest {id} is still {guest:#?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns a command's output and the ends of the consoles, for people.
    fn describe(&self, output: &Output) -> String {
        let mut text = format!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        for id in 1..=3 {
            let log = self.state.join(format!("guests/{id:05}/console.log"));
            let console = std::fs::read(&log).unwrap_or_default();
            let end = &console[console.len().saturating_sub(2000)..];
            text += &format!("\n{}:\n{}", log.display(), String::from_utf8_lossy(end));
        }
        text
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Without a supervisor, there are no guests either.
        let _ = self.run(&["stop", "--all"]);
    }
}

fn by_guests(context: &Context) -> Result<()> {
    let fleet = Fleet::start(context, 2)?;
    fleet.expect_all("a", "1.0.0")?;
    let serials = fleet.succeed(&["exec", "--all", "--", "hostname"])?;
    ensure!(
        serials.contains("guest-00001") && serials.contains("guest-00002"),
        "{serials}"
    );
    let good = context.artifacts.good_update();
    let bad = context.artifacts.bad_update();
    fleet.succeed(&["update", "--by", "guest", "--fw", &good.to_string_lossy()])?;
    fleet.expect_all("b", UPDATED)?;

    let output = fleet.run(&[
        "update",
        "--canary",
        "50%",
        "--tolerate",
        "0%",
        "--fw",
        &bad.to_string_lossy(),
    ])?;
    ensure!(!output.status.success(), "{}", fleet.describe(&output));
    fleet.expect_all("b", UPDATED)?;
    let status = fleet.status()?;
    let update = status.update.context("no update")?;
    ensure!(
        (update.total, update.reverted, update.pending, update.lost) == (2, 1, 1, 0)
            && update.stage.starts_with("stopped: 1 of 1 canaries"),
        "{update:?}"
    );
    ensure!(
        status.guests[0].state == State::Reverted && status.guests[1].state == State::Up,
        "{:#?}",
        status.guests
    );
    Ok(())
}

fn killed(context: &Context) -> Result<()> {
    let fleet = Fleet::start(context, 2)?;
    let good = context.artifacts.good_update();
    fleet.succeed(&["update", "--no-wait", "--fw", &good.to_string_lossy()])?;
    // One is killed while its slot is written, the other while it tries it.
    let writing = fleet.wait_for(1, |guest| guest.state == State::Updating)?;
    kill(&writing)?;
    let trying = fleet.wait_for(2, |guest| {
        guest.slot.as_deref() == Some("b") && guest.state == State::Kernel
    })?;
    kill(&trying)?;
    let deadline = Instant::now() + LIMIT;
    let update = loop {
        let update = fleet.status()?.update.context("no update")?;
        if !update.is_running() {
            break update;
        }
        ensure!(Instant::now() < deadline, "{update:?}");
        std::thread::sleep(Duration::from_millis(200));
    };
    ensure!(update.total == 2 && update.lost == 0, "{update:?}");
    // The first is written again. The trial of the second was cut off, so it went back.
    let first = fleet.wait_for(1, |guest| guest.state.is_up())?;
    let second = fleet.wait_for(2, |guest| guest.state.is_up())?;
    ensure!(first.slot.as_deref() == Some("b"), "{first:#?}");
    ensure!(
        second.slot.as_deref() == Some("a") && second.reason.as_deref() == Some("reverted"),
        "{second:#?}"
    );
    Ok(())
}

/// Kills the QEMU of a guest.
fn kill(guest: &Guest) -> Result<()> {
    let pid = guest.pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
    kill_process(pid.context("it does not run")?, Signal::KILL)?;
    Ok(())
}

fn by_host(context: &Context) -> Result<()> {
    let fleet = Fleet::start(context, 2)?;
    fleet.succeed(&["exec", "--all", "--", "hostname > /data/name; sync"])?;
    let good = context.artifacts.good_update();
    fleet.succeed(&["update", "--by", "host", "--fw", &good.to_string_lossy()])?;
    fleet.expect_all("b", UPDATED)?;
    let old = context.artifacts.erlang();
    fleet.succeed(&["update", "--image", &old.to_string_lossy()])?;
    fleet.expect_all("a", "1.0.0")?;
    fleet.succeed(&["rollback"])?;
    fleet.expect_all("b", UPDATED)?;
    // What each guest wrote is still its own.
    let names = fleet.succeed(&["exec", "--all", "--", "cat /data/name"])?;
    ensure!(
        names.contains("guest-00001") && names.contains("guest-00002"),
        "{names}"
    );
    Ok(())
}
