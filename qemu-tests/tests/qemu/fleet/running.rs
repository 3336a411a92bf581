// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet that runs, and what tests ask of it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use fleet::folder::Folder;
use fleet::model::{Guest, Status};
use qemu_tests::harness::process;

use crate::context::{self, Context};

/// The time limit of a command, on a busy host.
pub(super) const LIMIT: Duration = Duration::from_secs(900);

/// A fleet in a folder of its own; dropping it stops its guests.
pub(super) struct Fleet {
    state: PathBuf,
}

impl Fleet {
    /// Starts `count` guests and waits until they are up.
    pub(super) fn start(context: &Context, count: u32) -> Result<Self> {
        Self::start_with(context, count, &[])
    }

    /// Like [`Fleet::start`], with further options of the command.
    pub(super) fn start_with(context: &Context, count: u32, options: &[&str]) -> Result<Self> {
        let fleet = Self {
            state: context.path("fleet"),
        };
        let accelerator = context::accelerator().to_string();
        let (count, image) = (count.to_string(), context.artifacts.erlang());
        let (image, loader) = (image.to_string_lossy(), context.artifacts.loader());
        let loader = loader.to_string_lossy();
        let mut words = vec!["start", "--detach", "--count", &count, "--memory", "80M"];
        words.extend(["--image", &image, "--loader", &loader]);
        words.extend(["--accel", &accelerator]);
        words.extend(options);
        let output = fleet.run(&words)?;
        ensure!(output.status.success(), "{}", fleet.describe(&output));
        Ok(fleet)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qemu-tests"));
        command
            .arg("fleet")
            .arg("--state")
            .arg(&self.state)
            .args(arguments);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .with_context(|| format!("running {}", process::shell_line(&self.command(arguments))))
    }

    /// Runs a command that has to succeed.
    pub(super) fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{}", self.describe(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(super) fn status(&self) -> Result<Status> {
        let text = self.succeed(&["status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("reading {text}"))
    }

    /// Expects that all guests are up, in this slot and with this version.
    pub(super) fn expect_all(&self, slot: &str, version: &str) -> Result<()> {
        let wanted = |guest: &Guest| {
            guest.state.is_up()
                && guest.slot.as_deref() == Some(slot)
                && guest.version.as_deref() == Some(version)
        };
        let status = self.status()?;
        ensure!(
            !status.guests.is_empty() && status.guests.iter().all(wanted),
            "not all guests are up in slot {slot} with version {version}: {:#?}",
            status.guests
        );
        let versions = self.succeed(&["exec", "--all", "--", "cat /etc/fleet/version"])?;
        ensure!(
            versions.matches(version).count() == status.guests.len(),
            "not all guests have version {version}: {versions}"
        );
        Ok(())
    }

    /// Waits until guest `id` is in a state that `wanted` accepts, and returns it.
    pub(super) fn wait_for(&self, id: u32, wanted: impl Fn(&Guest) -> bool) -> Result<Guest> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status()?;
            let guest = status.guests.into_iter().find(|guest| guest.id == id);
            let guest = guest.with_context(|| format!("there is no guest {id}"))?;
            if wanted(&guest) {
                return Ok(guest);
            }
            if Instant::now() > deadline {
                bail!("guest {id} is still {guest:#?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types a line on the console of guest `id`, and reads what it prints until `end` appears.
    pub(super) fn type_line(&self, id: u32, line: &str, end: &str) -> Result<String> {
        let folder = Folder::new(&self.state)?;
        let mut console =
            folder.with_guest_socket(id, "console.sock", |path| UnixStream::connect(path))?;
        console.set_read_timeout(Some(LIMIT))?;
        console.write_all(format!("{line}\r").as_bytes())?;
        let (mut printed, mut buffer) = (String::new(), [0; 1024]);
        while !printed.contains(end) {
            let count = console.read(&mut buffer);
            let count = count.with_context(|| format!("guest {id} printed only {printed:?}"))?;
            ensure!(count > 0, "guest {id} ended after {printed:?}");
            printed += &String::from_utf8_lossy(&buffer[..count]);
        }
        Ok(printed)
    }

    /// Returns a command's output and the ends of the consoles, for people.
    pub(super) fn describe(&self, output: &Output) -> String {
        let mut text = format!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        for id in 1..=3 {
            let log = self.state.join(format!("guests/{id:05}/console.log"));
            let console = std::fs::read(&log).unwrap_or_default();
            let end = &console[console.len().saturating_sub(2000)..];
            text += &format!("\n{}:\n{}", log.display(), String::from_utf8_lossy(end));
        }
        text
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Without a supervisor, there are no guests either.
        let _ = self.run(&["stop", "--all"]);
    }
}
