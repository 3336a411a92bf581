// SPDX-License-Identifier: MIT OR Apache-2.0

//! `logs` and `console`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use crate::support::{Fleet, until};

#[test]
fn logs_are_printed_and_followed() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "1"]).succeeded();
    let log = fleet.run(&["logs", "1"]).succeeded();
    assert!(
        log.starts_with("little-loader 0.1.0\r\nslot a: active, "),
        "{log}"
    );
    let mut following = fleet.command(&["logs", "1", "--follow"]);
    let following = following.stdout(Stdio::piped()).spawn().unwrap();
    fleet.run(&["stop"]).succeeded();
    let output = following.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), log);
    assert_eq!(fleet.run(&["logs", "1", "--qemu"]).succeeded(), "");
}

#[test]
fn a_console_has_one_client() {
    let fleet = Fleet::new();
    fleet.start(&["--count", "1"]).succeeded();
    let mut console = fleet.command(&["console", "1"]);
    console.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut console = console.stderr(Stdio::piped()).spawn().unwrap();
    let mut keys = console.stdin.take().unwrap();
    // The fake guest echoes.
    keys.write_all(b"hello").unwrap();
    let mut shown = [0; 5];
    console
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut shown)
        .unwrap();
    assert_eq!(&shown, b"hello");

    let said = fleet.run(&["console", "1"]).failed();
    assert!(
        said.contains("somebody else is attached to the console of guest 1"),
        "{said}"
    );

    keys.write_all(b"bye\x1dignored").unwrap();
    let output = console.wait_with_output().unwrap();
    assert!(output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("detached"), "{words}");
    until("the console's log has what was typed", || {
        let log = fleet.run(&["logs", "1"]).succeeded();
        (log.ends_with("hellobye")).then_some(())
    });
    // It is free again.
    let mut console = fleet.command(&["console", "1"]);
    console.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut console = console.spawn().unwrap();
    let mut words = BufReader::new(console.stderr.take().unwrap());
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    assert_eq!(line, "attached to guest 1; Ctrl-] detaches\n");
    fleet.run(&["stop"]).succeeded();
    assert!(console.wait().unwrap().success());
    words.read_to_string(&mut line).unwrap();
    assert!(line.ends_with("the guest has ended\n"), "{line}");
}
