// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two updaters cannot write to the same destination at once.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use fwup::archive::write::{Level, Writer};
use fwup::hex;

const META_CONF: &str = r#"
file-resource "x" { length=5 blake2b-256="HASH" }
task "complete" {
on-init { funlist={2,info,started} }
on-resource "x" { funlist={2,raw_write,0} }
}
"#;

fn archive() -> Vec<u8> {
    let hash = hex::encode(&<blake2::Blake2b256 as blake2::Digest>::digest("hello"));
    let meta_conf = META_CONF.replace("HASH", &hash);
    let mut writer = Writer::new(Vec::new(), Level::default());
    for (name, data) in [("meta.conf", meta_conf.as_bytes()), ("data/x", b"hello")] {
        writer
            .entry::<std::io::Error>(name, None, data.len() as u64, |take| take(data))
            .unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_second_updater_is_refused_until_the_first_has_finished() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive();
    fs::write(folder.path().join("out.fw"), &archive).unwrap();
    let updater = |input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwup"));
        command.current_dir(folder.path());
        command.args(["-a", "-q", "-t", "complete", "-d", "disk.img", "-i", input]);
        command
    };
    let mut first = updater("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The first updater waits for the name of the second entry.
    let name = archive.windows(6).position(|bytes| bytes == b"data/x");
    let (start, end) = archive.split_at(name.unwrap());
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(start).unwrap();
    stdin.flush().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(first.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    assert_eq!(said, "fwup: started\n");

    let output = updater("out.fw").output().unwrap();
    let message = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.starts_with("fwup: cannot write to disk.img: another program is writing to it ("),
        "{message}"
    );
    // The number of the process is not known in some containers.
    let process = format!("(fwup, process {})", first.id());
    assert!(
        message.contains(&process) || message.contains("(it is not known which)"),
        "{message}"
    );
    assert!(message.ends_with("Wait until it has finished, or end it, and try again\n"));

    stdin.write_all(end).unwrap();
    drop(stdin);
    assert!(first.wait().unwrap().success());
    assert!(
        fs::read(folder.path().join("disk.img"))
            .unwrap()
            .starts_with(b"hello\0")
    );
    assert!(updater("out.fw").status().unwrap().success());
}
