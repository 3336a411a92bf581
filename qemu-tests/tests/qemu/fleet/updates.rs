// SPDX-License-Identifier: MIT OR Apache-2.0

//! Good and bad updates, by the guests and by the host, with guests that are killed in the middle,
//! and rollbacks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use fleet::model::{Guest, State};
use qemu_tests::artifacts::UPDATED;
use rustix::process::{Pid, Signal, kill_process};

use super::running::{Fleet, LIMIT};
use crate::context::Context;

pub(super) fn by_guests(context: &Context) -> Result<()> {
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

pub(super) fn killed(context: &Context) -> Result<()> {
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

pub(super) fn by_host(context: &Context) -> Result<()> {
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
