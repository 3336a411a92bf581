// SPDX-License-Identifier: MIT OR Apache-2.0

//! Plays QEMU for tests of the supervisor: takes the command line of a fleet's guest, talks QMP and
//! a console, answers as a guest's agent would, and needs little memory, so that thousands of it run
//! on a small machine.
//!
//! A file `behaviour` in its working directory, or the guest's entry in the environment variable
//! `FAKE_QEMU` (such as `3=fatal,5=loop`), makes it behave badly; see [`boot::Behaviour`].
//! `FAKE_QEMU_BOOT_MS` sets how long a boot takes.

#![forbid(unsafe_code)]

mod agent;
mod archive;
mod boot;
mod machine;
mod migration;
mod options;
mod qmp;
mod slots;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

fn main() -> ExitCode {
    let options = match options::Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("fake-qemu: {text}");
            return ExitCode::FAILURE;
        }
    };
    match machine::Machine::new(&options).and_then(|mut machine| machine.run()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // QEMU closes its sockets before it has said why it ends, too.
            thread::sleep(Duration::from_millis(300));
            eprintln!("fake-qemu: {error}");
            ExitCode::FAILURE
        }
    }
}
