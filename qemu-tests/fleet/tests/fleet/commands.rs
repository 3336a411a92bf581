// SPDX-License-Identifier: MIT OR Apache-2.0

//! `logs` and `console`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{ChildStdin, Stdio};

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

/// Writes lines with the numbers from `first` on to a console whose guest echoes; returns the next
/// number.
fn type_lines(console: &mut ChildStdin, first: u32) -> u32 {
    let next = first + 16_000;
    let lines: Vec<String> = (first..next)
        .map(|number| format!("line {number:08}\n"))
        .collect();
    let written = console.write_all(lines.concat().as_bytes());
    written.expect("the console takes keys");
    next
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_console_loses_its_beginning() {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt as _;

    let fleet = Fleet::new();
    let start = ["--count", "1", "--console-limit", "1"];
    fleet.start(&start).succeeded();
    let log = fleet.guest_folder(1).join("console.log");
    let boot = fs::metadata(&log).unwrap().len();
    let followed = fleet.path().join("followed");
    let mut following = fleet.command(&["logs", "1", "--follow"]);
    following.stdout(File::create(&followed).unwrap());
    let mut following = following.spawn().unwrap();
    let mut console = fleet.command(&["console", "1"]);
    console.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut console = console.stderr(Stdio::null()).spawn().unwrap();
    let mut keys = console.stdin.take().unwrap();

    // 3 MiB, in pieces that are smaller than what is kept for whoever follows.
    let mut next = 0;
    for _ in 0..16 {
        next = type_lines(&mut keys, next);
        let length = boot + u64::from(next) * 14;
        until("the lines are followed", || {
            (fs::metadata(&followed).unwrap().len() == length).then_some(())
        });
    }
    // The supervisor goes on reading, too.
    keys.write_all(b"fleet: up version=9.9\n").unwrap();
    until("the last line is recognised", || {
        (fleet.guest(1).version.as_deref() == Some("9.9")).then_some(())
    });
    let metadata = fs::metadata(&log).unwrap();
    assert!(metadata.len() > 3 << 20);
    let kept = metadata.blocks() * 512;
    assert!((1 << 19..=(1 << 20) + (1 << 18)).contains(&kept), "{kept}");
    let lines = |first: u32| {
        let lines = (first..next).map(|number| format!("line {number:08}\n"));
        lines.collect::<String>() + "fleet: up version=9.9\n"
    };
    let said = fleet.run(&["logs", "1"]).succeeded();
    let first = said.get(5..13).and_then(|number| number.parse().ok());
    let first = first.unwrap_or_else(|| panic!("no whole line: {}", &said[..100]));
    assert!(first > 0);
    assert_eq!(said, lines(first));

    fleet.run(&["stop"]).succeeded();
    assert!(following.wait().unwrap().success());
    console.wait().unwrap();
    let all = fs::read_to_string(&followed).unwrap();
    assert_eq!(all[usize::try_from(boot).unwrap()..], lines(0));
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
    // It is free again. Its keys stay open, since their end would detach it.
    let mut console = fleet.command(&["console", "1"]);
    console.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut console = console.spawn().unwrap();
    let keys = console.stdin.take();
    let mut words = BufReader::new(console.stderr.take().unwrap());
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    assert_eq!(line, "attached to guest 1; Ctrl-] detaches\n");
    fleet.run(&["stop"]).succeeded();
    assert!(console.wait().unwrap().success());
    drop(keys);
    words.read_to_string(&mut line).unwrap();
    assert!(line.ends_with("the guest has ended\n"), "{line}");
}
