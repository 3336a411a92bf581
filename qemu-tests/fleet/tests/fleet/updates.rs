// SPDX-License-Identifier: MIT OR Apache-2.0

//! Updates of many guests, good and bad, with guests that are killed in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use fleet::model::{Guest, State, Status, Update};
use rustix::process::Signal;

use crate::support::{Fleet, Ran, signal, until};

/// How many guests are written or tried at the same time.
const CONCURRENCY: &str = "40";

/// Writes an archive that the fake guests understand.
fn archive(fleet: &Fleet, kind: &str, version: &str) -> PathBuf {
    let path = fleet.path().join(format!("{kind}-{version}.fw"));
    fs::write(&path, format!("{kind} {version}\n")).expect("an archive");
    path
}

fn update(fleet: &Fleet, kind: &str, version: &str, words: &[&str]) -> Ran {
    let mut command = fleet.command(&["update", "--concurrency", CONCURRENCY]);
    command.arg("--fw").arg(archive(fleet, kind, version));
    Ran::of(command.args(words))
}

/// Returns how many guests run each version.
fn versions(status: &Status) -> BTreeMap<String, u32> {
    let mut versions = BTreeMap::new();
    for guest in &status.guests {
        let version = guest.version.clone().unwrap_or_default();
        *versions.entry(version).or_default() += 1;
    }
    versions
}

fn progress(fleet: &Fleet) -> Update {
    fleet.status().update.expect("an update")
}

/// Has canaries stop a bad update of `count` guests in slot a. Returns the seconds that it took.
pub(crate) fn bad(fleet: &Fleet, count: u32) -> f64 {
    let canaries = count.div_ceil(20);
    let begun = fleet.status().elapsed;
    let words = ["--canary", "5%", "--tolerate", "10%"];
    let ran = update(fleet, "bad", "3.0.0", &words);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let last = format!(
        "stopped: {canaries} of {canaries} canaries did not keep it: 0 of {count} keep it, {} not begun with, {canaries} went back\n",
        count - canaries
    );
    assert!(ran.stdout.ends_with(&last), "{ran:#?}");
    let status = fleet.status();
    for guest in &status.guests {
        let expected = if guest.id <= canaries {
            (State::Reverted, Some("a"), Some("1.0.0"))
        } else {
            (State::Up, Some("a"), Some("1.0.0"))
        };
        let found = (guest.state, guest.slot.as_deref(), guest.version.as_deref());
        assert_eq!(found, expected, "{guest:?}");
    }
    status.elapsed - begun
}

/// Brings a good update to `count` guests in slot a while every seventh is killed. Returns the
/// seconds that it took.
pub(crate) fn good_with_kills(fleet: &Fleet, count: u32) -> f64 {
    let begun = fleet.status().elapsed;
    update(fleet, "good", "2.0.0", &["--no-wait"]).succeeded();
    until("a tenth of the guests keeps the update", || {
        (progress(fleet).validated >= count / 10).then_some(())
    });
    // Guests in every step: done, on trial, being written, and not begun with.
    let mut killed = 0;
    for guest in &fleet.status().guests {
        if let Some(pid) = guest.pid.filter(|_| guest.id % 7 == 0) {
            signal(pid, Signal::KILL);
            killed += 1;
        }
    }
    assert!(killed > 0);
    let update = until("the update is over", || {
        Some(progress(fleet)).filter(|update| !update.is_running())
    });
    let took = fleet.status().elapsed - begun;
    assert_eq!(update.stage, "done", "{update:?}");
    assert_eq!(update.total, count);
    assert_eq!((update.pending, update.lost), (0, 0), "{update:?}");
    let accounted = update.validated + update.reverted + update.failed;
    assert_eq!(accounted, count, "{update:?}");
    // Only a trial that is cut off ends in the old slot.
    assert!(update.reverted + update.failed <= killed, "{update:?}");

    let status = fleet.wait_for_up(count as usize);
    let mut expected = BTreeMap::from([("2.0.0".to_owned(), update.validated)]);
    if update.validated < count {
        expected.insert("1.0.0".to_owned(), count - update.validated);
    }
    assert_eq!(versions(&status), expected, "{update:?}");
    let slot_fits = |guest: &Guest| {
        let new = guest.version.as_deref() == Some("2.0.0");
        guest.slot.as_deref() == Some(if new { "b" } else { "a" })
    };
    assert!(status.guests.iter().all(slot_fits));
    took
}

#[test]
fn a_version_shows_after_updates_and_restarts() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "3"]).succeeded();
    let shown = |version: &str, slot: &str| {
        let status = fleet.wait_for_up(3);
        assert_eq!(versions(&status), BTreeMap::from([(version.to_owned(), 3)]));
        let table = fleet.run(&["status"]).succeeded();
        let row = format!("3 guest-00003 up       {slot}    active    {version} ");
        assert!(table.contains(&row), "{table}");
    };
    shown("1.0.0", "a");
    let said = update(&fleet, "good", "2.0.0", &[]).succeeded();
    assert!(said.ends_with("done: 3 of 3 keep it\n"), "{said}");
    shown("2.0.0", "b");
    fleet.run(&["restart", "--all"]).succeeded();
    shown("2.0.0", "b");
    fleet.run(&["rollback"]).succeeded();
    shown("1.0.0", "a");
}

#[test]
fn an_archive_that_is_refused_changes_nothing() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "2"]).succeeded();
    let ran = update(&fleet, "strange", "2.0.0", &[]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stdout.ends_with("0 of 2 keep it, 2 not written\n"),
        "{ran:#?}"
    );
    let guest = fleet.guest(2);
    assert_eq!((guest.state, guest.boots), (State::Up, 1));
    let message = guest.message.expect("a message");
    assert!(
        message.contains("\"strange 2.0.0\\n\" is not an archive"),
        "{message}"
    );
}

#[test]
fn bad_updates_revert() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "2"]).succeeded();
    let ran = update(&fleet, "bad", "3.0.0", &[]);
    assert!(
        ran.stdout.ends_with("0 of 2 keep it, 2 went back\n"),
        "{ran:#?}"
    );
    let guest = fleet.guest(1);
    assert_eq!(guest.state, State::Reverted);
    assert_eq!(guest.version.as_deref(), Some("1.0.0"));
    // The boot of the trial, and the one that went back.
    assert_eq!(guest.boots, 3);
}
