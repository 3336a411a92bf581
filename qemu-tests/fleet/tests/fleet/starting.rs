// SPDX-License-Identifier: MIT OR Apache-2.0

//! `start`: guests that come up, and those that do not.

use std::collections::BTreeSet;
use std::fs;

use fleet::model::{EventKind, State};

use crate::support::{Fleet, Ran};

#[test]
fn guests_start_run_and_stop() {
    let fleet = Fleet::new();
    let said = fleet.start(&["--count", "20", "--chunk", "5"]).succeeded();
    assert!(said.contains("20 of 20 guests are up"), "{said}");

    let status = fleet.status();
    assert_eq!(status.guests.len(), 20);
    let distinct =
        |each: &dyn Fn(usize) -> String| (0..20).map(each).collect::<BTreeSet<_>>().len();
    let guests = &status.guests;
    assert_eq!(distinct(&|index| guests[index].serial.clone()), 20);
    assert_eq!(distinct(&|index| guests[index].host.clone()), 20);
    assert_eq!(
        distinct(&|index| format!("{:?}", guests[index].port.unwrap())),
        20
    );
    assert_eq!(
        distinct(&|index| guests[index].pid.unwrap().to_string()),
        20
    );
    for guest in guests {
        assert_eq!(guest.state, State::Up);
        assert_eq!(guest.slot.as_deref(), Some("a"));
        assert_eq!(guest.reason.as_deref(), Some("active"));
        assert_eq!(guest.version.as_deref(), Some("1.0.0"));
        assert_eq!(guest.boots, 1);
        assert!(guest.boot_seconds.unwrap() > 0.0);
        assert!(fleet.guest_folder(guest.id).join("disk.qcow2").exists());
    }
    assert_eq!(fleet.processes().len(), 20);
    let table = fleet.run(&["status"]).succeeded();
    assert!(
        table.contains("20 guest-00020 up       a    active    1.0.0 "),
        "{table}"
    );
    assert!(table.contains("\nup 20\n"), "{table}");

    let said = fleet.run(&["stop"]).succeeded();
    assert_eq!(said, "20 guests stopped\n");
    assert!(fleet.processes().is_empty());
    let said = fleet.run(&["status"]).failed();
    assert!(said.contains("no supervisor runs for"), "{said}");
    assert!(
        said.contains("the disks and consoles of its guests are kept"),
        "{said}"
    );

    let ups = fleet.history().into_iter().filter(|event| {
        matches!(
            &event.kind,
            EventKind::State {
                state: State::Up,
                boot_seconds: Some(_),
                ..
            }
        )
    });
    assert_eq!(ups.count(), 20);
}

#[test]
fn failures_are_named() {
    let fleet = Fleet::new().behaviour("2=fatal,3=loop,4=exit,5=silent,6=slow");
    let ran = fleet.start(&["--count", "7", "--timeout", "4"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stdout
            .contains("guest-00002 is fatal: fatal: no block device"),
        "{ran:#?}"
    );

    let fatal = fleet.wait_for(2, State::Fatal);
    assert_eq!(fatal.message.as_deref(), Some("fatal: no block device"));
    let looping = fleet.wait_for(3, State::Looping);
    let message = looping.message.unwrap();
    assert!(
        message.contains("restarts without coming up; kernel panic: VFS: no root"),
        "{message}"
    );
    let gone = fleet.wait_for(4, State::Gone);
    assert_eq!(
        gone.message.as_deref(),
        Some("QEMU ended with exit status 1: fake-qemu: this machine is told to fail")
    );
    assert_eq!(fleet.guest(5).state, State::Starting);
    fleet.wait_for(6, State::Up);
    assert_eq!(fleet.guest(1).state, State::Up);
    // It is up as soon as it has stopped looping.
    fs::write(fleet.guest_folder(3).join("behaviour"), "good").unwrap();
    let up = fleet.wait_for(3, State::Up);
    assert_eq!(up.message, None);
}

#[test]
fn more_guests_join_a_fleet() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "2"]).succeeded();
    let said = fleet.start(&["--count", "3"]).succeeded();
    assert!(said.contains("3 of 3 guests are up"), "{said}");
    assert_eq!(fleet.wait_for_up(5).guests[4].host, "guest-00005");
    let said = fleet.start(&["--count", "1", "--fresh"]).failed();
    assert!(
        said.contains("--fresh cannot discard the disks of guests that run"),
        "{said}"
    );
}

#[test]
fn disks_survive_and_belong_to_one_image() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "2"]).succeeded();
    fleet.run(&["stop"]).succeeded();
    let marker = fleet.guest_folder(2).join("marker");
    fs::write(&marker, "").unwrap();
    fleet.start(&["--count", "2"]).succeeded();
    assert!(marker.exists());
    // The console's log goes on, and what it says of the first run does not count.
    let log = fs::read_to_string(fleet.guest_folder(2).join("console.log")).unwrap();
    assert_eq!(log.matches("little-loader 0.1.0").count(), 2);
    fleet.run(&["stop"]).succeeded();

    fs::write(fleet.path().join("disk.img"), vec![1; 2 << 20]).unwrap();
    let said = fleet.start(&["--count", "2"]).failed();
    assert!(
        said.contains("disk.img, which has changed since; start the fleet with --fresh"),
        "{said}"
    );
    fleet.start(&["--count", "2", "--fresh"]).succeeded();
    assert!(!marker.exists());
}

#[test]
fn guests_that_do_not_fit_are_not_started() {
    let fleet = Fleet::new();
    let ran = fleet.start(&["--count", "2", "--reserve", "900T"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stdout.contains("guests 1 to 2 are not started: "),
        "{ran:#?}"
    );
    let guest = fleet.guest(2);
    assert_eq!(guest.state, State::Stopped);
    assert_eq!(
        guest.message.as_deref(),
        Some("not started: no memory left")
    );
}

#[test]
fn filling_ends_at_the_limit() {
    let fleet = Fleet::new();
    // Room for a single guest of the expected size; what was measured shows that more fit.
    let said = fleet
        .start(&["--fill", "--limit", "60M", "--count", "10"])
        .succeeded();
    assert!(said.contains("10 of 10 guests are up"), "{said}");
    // Each of them takes more than 128 KiB for itself.
    let said = fleet.start(&["--fill", "--limit", "1M"]).succeeded();
    assert!(said.contains("full with 10 guests: "), "{said}");
    assert_eq!(fleet.status().guests.len(), 10);
}

#[test]
fn a_deep_state_folder_works() {
    let fleet = Fleet::new().state_in(&"a-rather-long-name/".repeat(12));
    fleet.start(&["--count", "2"]).succeeded();
    let said = fleet.run(&["stop"]).succeeded();
    assert_eq!(said, "2 guests stopped\n");
}

#[test]
fn guests_can_give_memory_back_but_clones_cannot() {
    let fleet = Fleet::new();
    fleet.start(&["--free-page-reporting"]).succeeded();
    let pid = fleet.guest(1).pid.unwrap();
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        words.contains("-device\0virtio-balloon-device,free-page-reporting=on\0"),
        "{words}"
    );
    let fleet = Fleet::new();
    let said = fleet.start(&["--free-page-reporting", "--clones"]).failed();
    assert!(
        said.contains(
            "a clone must not give back memory, since that would clear the template's; leave out --free-page-reporting"
        ),
        "{said}"
    );
}

#[test]
fn mistakes_are_explained() {
    let fleet = Fleet::new();
    for (words, expected) in [
        (&["start"][..], "no loader: add --loader FILE"),
        (
            &["start", "--loader", "/nothing"],
            "cannot find the loader /nothing",
        ),
        (
            &["status"],
            "`start` starts one, --state names another folder",
        ),
        (&["stop", "x"], "not a guest: its number, as 7"),
        (&["logs", "3"], "guest 3 has no log"),
    ] {
        let said = fleet.run(words).failed();
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    let mut start = fleet.command(&["start", "--image", "/nothing", "--loader"]);
    let said = Ran::of(start.arg(fleet.path().join("loader.elf"))).failed();
    assert!(
        said.contains("cannot find the image /nothing: No such file"),
        "{said}"
    );
    let mut start = fleet.command(&["start", "--memory", "5000T", "--loader"]);
    start.arg(fleet.path().join("loader.elf")).arg("--image");
    let said = Ran::of(start.arg(fleet.path().join("disk.img"))).failed();
    assert!(said.contains("no guest has so much --memory"), "{said}");
    let said = fleet.start(&["--count", "4000000"]).failed();
    assert!(
        said.contains("4000000 guests need 8000200 open files, and the limit is"),
        "{said}"
    );
}
