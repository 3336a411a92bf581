// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nothing is left behind, however the supervisor ends.

use std::process::{Child, Stdio};

use fleet::model::State;
use rustix::process::Signal;

use crate::support::{Fleet, signal, until};

/// Starts three guests in the foreground, and waits until they are up.
fn in_foreground(fleet: &Fleet) -> Child {
    let mut command = fleet.start_command(&["--count", "3"]);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command runs");
    let status = fleet.wait_for_up(3);
    assert_eq!(status.supervisor, child.id());
    assert_eq!(fleet.processes().len(), 3);
    child
}

#[test]
fn an_interrupt_or_a_request_to_end_stops_all() {
    for end in [Signal::INT, Signal::TERM, Signal::HUP] {
        let fleet = Fleet::new();
        let mut child = in_foreground(&fleet);
        signal(child.id(), end);
        assert!(child.wait().unwrap().success());
        assert!(fleet.processes().is_empty());
        assert!(!fleet.state().join("supervisor.sock").exists());
    }
}

#[test]
fn a_kill_stops_all() {
    let fleet = Fleet::new();
    let mut child = in_foreground(&fleet);
    child.kill().unwrap();
    child.wait().unwrap();
    fleet.wait_for_silence();
    // What is left does not prevent a new start.
    fleet.start(&["--count", "3"]).succeeded();
    assert_eq!(fleet.processes().len(), 3);
}

#[test]
fn a_crash_stops_all() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "3"]).succeeded();
    signal(fleet.status().supervisor, Signal::ABORT);
    fleet.wait_for_silence();
    let said = fleet.run(&["status"]).failed();
    assert!(said.contains("no supervisor runs for"), "{said}");
}

#[test]
fn a_kill_while_guests_start_stops_all() {
    let fleet = Fleet::new();
    let mut command = fleet.start_command(&["--count", "40", "--chunk", "2", "--delay", "0.05"]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    until("a few guests run", || {
        (fleet.processes().len() > 5).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    fleet.wait_for_silence();
}

#[test]
fn a_guest_that_does_not_end_is_killed() {
    let fleet = Fleet::new().behaviour("2=stubborn");
    fleet.start(&["--count", "2"]).succeeded();
    let said = fleet.run(&["stop", "2"]).succeeded();
    assert_eq!(said, "1 guests stopped\n");
    assert_eq!(fleet.guest(2).state, State::Stopped);
    assert_eq!(fleet.processes().len(), 1);
}

#[test]
fn a_second_supervisor_is_refused() {
    let fleet = Fleet::new();
    let mut child = in_foreground(&fleet);
    // It becomes a request to the first one.
    let said = fleet.start(&["--count", "1"]).succeeded();
    assert!(said.contains("1 of 1 guests are up"), "{said}");
    assert_eq!(fleet.status().supervisor, child.id());
    let said = fleet.run(&["stop", "--all"]).succeeded();
    assert_eq!(said, "4 guests stopped\n");
    assert!(child.wait().unwrap().success());
}
