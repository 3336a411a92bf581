// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many guests under one supervisor: started, killed, updated and stopped.

use std::collections::BTreeSet;
use std::env;
use std::fs;

use fleet::model::State;

use rustix::process::Signal;

use crate::support::{Fleet, signal, until};
use crate::updates;

/// The environment variable with the numbers of guests to try, such as `1000,5000`.
const COUNTS: &str = "LITTLE_LOADER_FLEET_GUESTS";

/// Starts `count` guests, looks at them, kills some and brings them back, updates all, and stops
/// them. Returns the largest resident set size of the supervisor, in KiB.
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
            signal(guest.pid.expect("it runs"), Signal::KILL);
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

    let bad = updates::bad(&fleet, count);
    let good = updates::good_with_kills(&fleet, count);

    let memory = fs::read_to_string(format!("/proc/{}/status", status.supervisor));
    let memory = memory.expect("the supervisor runs");
    println!(
        "{count} guests: supervisor {} KiB; {bad:.1} s for canaries of a bad update, {good:.1} s for a good one",
        fleet.status().supervisor_rss
    );
    let said = fleet.run(&["stop"]).succeeded();
    assert_eq!(said, format!("{count} guests stopped\n"));
    assert!(fleet.processes().is_empty());
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    peak.expect("the peak of the resident set")
}

#[test]
fn many_guests_have_one_small_supervisor() {
    let counts = env::var(COUNTS).unwrap_or_else(|_| "200".to_owned());
    for count in counts.split(',') {
        let count: u32 = count.parse().expect("a number of guests");
        let peak = supervise(count);
        // 50 MiB for a thousand.
        let most = 20 * 1024 + 30 * u64::from(count);
        assert!(
            peak < most,
            "{count} guests: {peak} KiB, and {most} are allowed"
        );
    }
}
