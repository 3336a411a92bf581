// SPDX-License-Identifier: MIT OR Apache-2.0

//! Single guests: killed, stopped, restarted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use fleet::model::State;
use rustix::process::Signal;

use crate::support::{Fleet, signal};

#[test]
fn a_guest_that_is_killed_can_be_restarted() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "2"]).succeeded();
    signal(fleet.guest(1).pid.unwrap(), Signal::KILL);
    let gone = fleet.wait_for(1, State::Gone);
    assert_eq!(gone.message.as_deref(), Some("QEMU was ended by signal 9"));
    assert_eq!((gone.pid, gone.port), (None, None));
    fleet.run(&["restart", "guest-00001"]).succeeded();
    let up = fleet.wait_for(1, State::Up);
    assert_eq!(up.boots, 2);

    fleet.run(&["stop", "1-2"]).succeeded();
    assert!(fleet.processes().is_empty());
    assert_eq!(fleet.guest(2).state, State::Stopped);
    fleet.run(&["restart", "LL00000002"]).succeeded();
    fleet.wait_for(2, State::Up);
    let said = fleet.run(&["stop", "3"]).failed();
    assert!(
        said.contains("there is no guest 3: the fleet has 2"),
        "{said}"
    );
}

#[test]
fn commands_run_in_guests() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "3"]).succeeded();
    let ran = fleet.run(&["exec", "2", "--", "echo hello; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), "hello\n"));
    let said = fleet
        .run(&["exec", "2", "--", "printf", "%s|", "a b", "c"])
        .succeeded();
    assert_eq!(said, "a b|c|");
    let said = fleet
        .run(&["exec", "--all", "--", "echo one; echo two"])
        .succeeded();
    let expected: String = (1..=3)
        .map(|id| format!("guest-0000{id}: one\nguest-0000{id}: two\n"))
        .collect();
    assert_eq!(said, expected);
    let ran = fleet.run(&["exec", "--all", "--", "test $(basename $PWD) != 00002"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "guest-00002: exit status 1\n");
}

#[test]
fn a_guest_without_a_network_says_so() {
    let fleet = Fleet::new();
    fleet.start(&["--no-net"]).succeeded();
    let said = fleet.run(&["exec", "1", "--", "true"]).failed();
    assert!(said.contains("guest 1 has no network"), "{said}");
}

/// Sends requests to the supervisor and returns its responses.
fn ask(fleet: &Fleet, request: &str) -> String {
    let stream = UnixStream::connect(fleet.state().join("supervisor.sock"));
    let mut stream = stream.expect("a supervisor");
    stream
        .write_all(format!("{request}\n").as_bytes())
        .expect("a request");
    let mut response = String::new();
    BufReader::new(stream)
        .read_line(&mut response)
        .expect("a response");
    response
}

#[test]
fn the_socket_answers_requests() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "2"]).succeeded();
    let qmp = |command: &str| {
        format!("{{\"request\":\"qmp\",\"guest\":1,\"command\":\"{command}\",\"arguments\":null}}")
    };
    let response = ask(&fleet, &qmp("query-status"));
    assert!(response.contains("\"running\":true"), "{response}");
    let response = ask(&fleet, &qmp("nonsense"));
    assert!(
        response.contains("QEMU of guest 1 refused `nonsense`: The command"),
        "{response}"
    );
    let starting = "{\"request\":\"starting\",\"first\":2,\"last\":9}";
    let response = ask(&fleet, starting);
    assert!(
        response.ends_with(
            "\"goes_on\":false,\"held\":null,\"up\":1,\"booting\":0,\"waiting\":0,\"failed\":0}\n"
        ),
        "{response}"
    );
    let response = ask(&fleet, "{\"request\":\"update-status\"}");
    assert_eq!(response, "{\"response\":\"update\",\"update\":null}\n");
    let response = ask(&fleet, "{\"request\":\"dance\"}");
    assert!(
        response.contains("does not understand the request"),
        "{response}"
    );
    let response = ask(&fleet, "{\"request\":\"reset\",\"guests\":[]}");
    assert_eq!(response, "{\"response\":\"done\",\"guests\":2}\n");
    fleet.wait_for_up(2);
    assert_eq!(fleet.guest(2).boots, 2);
}
