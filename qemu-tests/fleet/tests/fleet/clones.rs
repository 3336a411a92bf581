// SPDX-License-Identifier: MIT OR Apache-2.0

//! `start --clones`: guests that continue from a template, and what happens when they cannot.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use fleet::model::{EventKind, State};
use rustix::process::Signal;

use crate::support::{Fleet, Ran, signal, until};

/// Starts clones in the background, with the template's RAM in a folder beside the state.
fn start(fleet: &Fleet, words: &[&str]) -> Ran {
    let memory = fleet.path().join("memory");
    fs::create_dir_all(&memory).expect("a folder");
    let memory = memory.to_str().expect("a path in UTF-8");
    let mut all = vec![
        "--clones",
        "--template-settle",
        "0",
        "--template-memory",
        memory,
    ];
    all.extend(words);
    fleet.start(&all)
}

/// The folders with the RAM of templates.
fn memories(fleet: &Fleet) -> Vec<PathBuf> {
    let entries = fs::read_dir(fleet.path().join("memory")).expect("the folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn console(fleet: &Fleet, id: u32) -> String {
    fs::read_to_string(fleet.guest_folder(id).join("console.log")).unwrap_or_default()
}

#[test]
fn clones_have_an_identity_of_their_own() {
    let fleet = Fleet::new();
    let said = start(&fleet, &["--count", "12"]).succeeded();
    assert!(said.contains("12 of 12 guests are up"), "{said}");
    let status = fleet.status();
    assert_eq!(status.held, None);
    for guest in &status.guests {
        assert_eq!(
            (guest.state, guest.cloned, guest.boots),
            (State::Up, true, 0)
        );
        assert_eq!(guest.slot.as_deref(), Some("a"));
        assert_eq!(guest.version.as_deref(), Some("1.0.0"));
        assert!(guest.boot_seconds.unwrap() > 0.0);
        // No loader ran.
        assert_eq!(console(&fleet, guest.id), "");
    }
    let serials: BTreeSet<_> = (1..=12)
        .map(|id| {
            let port = status.guests[id - 1].port.unwrap();
            let answer = crate::support::ask(port, "ping");
            assert!(answer.starts_with(&format!("pong serial=LL{id:08} host=guest-{id:05} ")));
            answer
        })
        .collect();
    assert_eq!(serials.len(), 12);
    // The template has ended, and nobody can change its disk.
    assert_eq!(fleet.processes().len(), 12);
    let disk = fleet.state().join("template-001/disk.qcow2");
    assert!(disk.metadata().unwrap().permissions().readonly());
    until("the history has the start", || {
        let mut events = fleet.history().into_iter();
        events
            .any(|event| matches!(event.kind, EventKind::Start { cloned, count: 12, .. } if cloned))
            .then_some(())
    });

    assert_eq!(memories(&fleet).len(), 1);
    fleet.run(&["stop"]).succeeded();
    assert_eq!(memories(&fleet), Vec::<PathBuf>::new());
}

#[test]
fn a_clone_that_starts_again_boots() {
    let fleet = Fleet::new();
    start(&fleet, &["--count", "3"]).succeeded();
    let port = fleet.guest(1).port.unwrap();
    crate::support::ask(port, "reboot");
    let booted = crate::support::until("guest 1 has booted", || {
        Some(fleet.guest(1)).filter(|guest| guest.boots == 1 && guest.state == State::Up)
    });
    assert!(!booted.cloned);
    assert_eq!(console(&fleet, 1).matches("little-loader 0.1.0").count(), 1);

    fleet.run(&["restart", "2"]).succeeded();
    let booted = fleet.wait_for(2, State::Up);
    assert_eq!((booted.cloned, booted.boots), (false, 1));
    assert!(fleet.guest(3).cloned);

    // More guests come from the same template; a later fleet has one of its own.
    start(&fleet, &["--count", "1"]).succeeded();
    assert!(fleet.guest(4).cloned);
    fleet.run(&["stop"]).succeeded();
    start(&fleet, &["--count", "5"]).succeeded();
    let cloned: Vec<bool> = fleet
        .status()
        .guests
        .iter()
        .map(|guest| guest.cloned)
        .collect();
    assert_eq!(cloned, [false, false, false, false, true]);
    assert!(fleet.state().join("template-002/disk.qcow2").exists());
    fleet.run(&["stop"]).succeeded();
    start(&fleet, &["--count", "1", "--fresh"]).succeeded();
    assert!(fleet.guest(1).cloned);
    assert!(!fleet.state().join("template-002").exists());
}

#[test]
fn what_a_crash_leaves_is_removed() {
    let fleet = Fleet::new();
    start(&fleet, &["--count", "2"]).succeeded();
    let left = memories(&fleet);
    assert_eq!(left.len(), 1);
    signal(fleet.status().supervisor, Signal::KILL);
    fleet.wait_for_silence();
    assert_eq!(memories(&fleet), left);
    fleet.start(&["--count", "1"]).succeeded();
    assert_eq!(memories(&fleet), Vec::<PathBuf>::new());
}

#[test]
fn guests_boot_where_they_cannot_be_cloned() {
    for (behaviour, words, why) in [
        ("0=old", &[][..], "does not accept value 'x-ignore-shared'"),
        ("0=unsaved", &[], "could not save the template's state"),
        ("0=fatal", &[], "did not come up: fatal: no block device"),
        ("0=exit", &[], "this machine is told to fail"),
        ("0=stranger", &["--no-net"], "start them without --no-net"),
        (
            "",
            &[
                "--qemu-argument=-device",
                "--qemu-argument=virtio-balloon-device",
            ],
            "leave out the QEMU argument \"virtio-balloon-device\"",
        ),
    ] {
        let fleet = Fleet::new().behaviour(behaviour);
        let mut all = vec!["--count", "3"];
        all.extend(words);
        let said = start(&fleet, &all).succeeded();
        assert!(said.contains("3 of 3 guests are up"), "{behaviour}: {said}");
        assert!(
            said.contains("guests cannot be cloned, and boot instead: "),
            "{said}"
        );
        assert!(said.contains(why), "{behaviour}: {said}");
        let status = fleet.status();
        assert!(status.held.unwrap().contains(why));
        assert!(
            status
                .guests
                .iter()
                .all(|guest| !guest.cloned && guest.boots == 1)
        );
        assert_eq!(memories(&fleet), Vec::<PathBuf>::new());
        let log = fs::read_to_string(fleet.state().join("supervisor.log")).unwrap();
        assert!(log.contains(why), "{log}");
    }
}

#[test]
fn a_clone_that_fails_boots() {
    let fleet = Fleet::new().behaviour("2=broken,4=stranger");
    start(&fleet, &["--count", "5"]).succeeded();
    let guests = fleet.status().guests;
    let cloned: Vec<bool> = guests.iter().map(|guest| guest.cloned).collect();
    assert_eq!(cloned, [true, false, true, false, true]);
    assert!(guests.iter().all(|guest| guest.state == State::Up));
    let log = fs::read_to_string(fleet.state().join("supervisor.log")).unwrap();
    for why in [
        "guest 2 could not be cloned, and boots instead: QEMU ended with exit status 1: fake-qemu: load of migration failed",
        "guest 4 could not be cloned, and boots instead: the agent answered `pong serial=LL00000000 ",
    ] {
        assert!(log.contains(why), "{log}");
    }
    assert_eq!(fleet.status().held, None);
}

#[test]
fn cloning_ends_when_all_clones_fail() {
    let all: Vec<String> = (1..=8).map(|id| format!("{id}=broken")).collect();
    let fleet = Fleet::new().behaviour(&all.join(","));
    let said = start(&fleet, &["--count", "8", "--chunk", "1"]).succeeded();
    assert!(said.contains("8 of 8 guests are up"), "{said}");
    let held = fleet.status().held.unwrap();
    assert!(
        held.contains("guests cannot be cloned, and boot instead: "),
        "{held}"
    );
    assert!(held.contains("load of migration failed"), "{held}");
}
