// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many guests under one supervisor.

use std::collections::BTreeSet;
use std::fs;

use fleet::model::State;

use crate::support::{Fleet, signal, until};
use rustix::process::Signal;

/// Starts `count` guests, looks at them, kills some and brings them back, and stops all. Returns the
/// supervisor's resident set size in KiB while all run.
fn supervise(count: u32) -> u64 {
    let fleet = Fleet::new();
    let number = count.to_string();
    let said = fleet
        .start(&["--count", &number, "--chunk", "20", "--max-booting", "60"])
        .succeeded();
    assert!(
        said.contains(&format!("{count} of {count} guests are up")),
        "{said}"
    );
    let status = fleet.status();
    assert_eq!(status.guests.len(), count as usize);
    assert!(status.guests.iter().all(|guest| guest.state == State::Up));
    let pids: BTreeSet<_> = status.guests.iter().filter_map(|guest| guest.pid).collect();
    assert_eq!(pids.len(), count as usize);
    assert_eq!(fleet.processes().len(), count as usize);

    // Every tenth is killed, noticed, and brought back.
    let killed: Vec<u32> = (1..=count).filter(|id| id % 10 == 0).collect();
    for guest in &status.guests {
        if killed.contains(&guest.id) {
            signal(guest.pid.unwrap(), Signal::KILL);
        }
    }
    until("the end of all that were killed is known", || {
        let status = fleet.status();
        let gone = status
            .guests
            .iter()
            .filter(|guest| guest.state == State::Gone);
        (gone.count() == killed.len()).then_some(())
    });
    let names: Vec<String> = killed.iter().map(ToString::to_string).collect();
    let mut words = vec!["restart"];
    words.extend(names.iter().map(String::as_str));
    fleet.run(&words).succeeded();
    let status = fleet.wait_for_up(count as usize);
    assert!(
        status
            .guests
            .iter()
            .all(|guest| { guest.boots == if killed.contains(&guest.id) { 2 } else { 1 } })
    );

    let memory = fs::read_to_string(format!("/proc/{}/status", status.supervisor)).unwrap();
    println!("{count} guests: supervisor {} KiB", status.supervisor_rss);
    let said = fleet.run(&["stop"]).succeeded();
    assert_eq!(said, format!("{count} guests stopped\n"));
    assert!(fleet.processes().is_empty());
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    peak.expect("the peak of the resident set")
}

#[test]
fn two_hundred_guests() {
    assert!(supervise(200) < 50 << 10);
}

#[test]
#[ignore = "takes minutes and a gigabyte"]
fn a_thousand_guests_need_a_supervisor_of_less_than_50_mib() {
    assert!(supervise(1000) < 50 << 10);
}

#[test]
#[ignore = "takes many minutes and several gigabytes"]
fn five_thousand_guests() {
    supervise(5000);
}
