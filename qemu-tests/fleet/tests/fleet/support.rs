// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet in a temporary folder.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fleet::model::{Event, Guest, State, Status};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A safety net: everything takes much less on an idle machine.
const LIMIT: Duration = Duration::from_secs(300);

/// A fleet of fake QEMUs. Its supervisor is killed at the end.
pub(crate) struct Fleet {
    folder: TempDir,
    state: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Fleet {
    /// Returns a fleet that has not been started.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("disk.img"), vec![0; 1 << 20]).expect("an image");
        fs::write(folder.path().join("loader.elf"), "").expect("a loader");
        Self {
            state: folder.path().join("state"),
            folder,
            environment: Vec::new(),
        }
    }

    /// Sets how guests behave, such as `3=fatal,5=loop`.
    pub(crate) fn behaviour(mut self, text: &str) -> Self {
        self.environment.push(("FAKE_QEMU", text.to_owned()));
        self
    }

    /// Replaces the state folder, a path within [`Self::path`].
    pub(crate) fn state_in(mut self, path: &str) -> Self {
        self.state = self.path().join(path);
        self
    }

    /// The folder with the image, the loader and the state.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// The folder of a guest.
    pub(crate) fn guest_folder(&self, id: u32) -> PathBuf {
        self.state().join(format!("guests/{id:05}"))
    }

    /// Returns the command `fleet` with `words`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
        command.arg("--state").arg(self.state()).args(words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Returns the command `start` with `words`, in the foreground.
    pub(crate) fn start_command(&self, words: &[&str]) -> Command {
        let mut command = self.command(&["start", "--accel", "tcg", "--memory", "16"]);
        command.arg("--image").arg(self.path().join("disk.img"));
        command.arg("--loader").arg(self.path().join("loader.elf"));
        command.args(["--qemu", env!("CARGO_BIN_EXE_fake-qemu")]);
        if !words.contains(&"--delay") {
            command.args(["--delay", "0"]);
        }
        command.args(words);
        command
    }

    /// Starts guests in the background, and waits for them.
    pub(crate) fn start(&self, words: &[&str]) -> Ran {
        Ran::of(self.start_command(words).arg("--detach"))
    }

    /// Runs `fleet` with `words`.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&mut self.command(words))
    }

    /// Returns the status, or `None` without a supervisor.
    pub(crate) fn try_status(&self) -> Option<Status> {
        let ran = self.run(&["status", "--json"]);
        ran.success
            .then(|| serde_json::from_str(&ran.stdout).expect("a status"))
    }

    /// Returns the status.
    pub(crate) fn status(&self) -> Status {
        self.try_status().expect("no supervisor runs")
    }

    /// Returns a guest.
    pub(crate) fn guest(&self, id: u32) -> Guest {
        let guests = self.status().guests;
        let guest = guests.into_iter().find(|guest| guest.id == id);
        guest.expect("there is no such guest")
    }

    /// Waits until a guest is in a state, and returns it.
    pub(crate) fn wait_for(&self, id: u32, state: State) -> Guest {
        until(&format!("guest {id} is {state}"), || {
            Some(self.guest(id)).filter(|guest| guest.state == state)
        })
    }

    /// Waits until this many guests are up, and returns the status.
    pub(crate) fn wait_for_up(&self, count: usize) -> Status {
        until(&format!("{count} guests are up"), || {
            let status = self.try_status()?;
            let up = status.guests.iter().filter(|guest| guest.state.is_up());
            (up.count() == count).then_some(status)
        })
    }

    /// Returns the history.
    pub(crate) fn history(&self) -> Vec<Event> {
        let text = fs::read_to_string(self.state().join("history.jsonl")).expect("a history");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("an event"))
            .collect()
    }

    /// Returns the processes that run in a guest's folder.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let state = self.state();
        let entries = fs::read_dir("/proc").expect("processes");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&state))
            })
            .collect()
    }

    /// Waits until no process is left in a guest's folder.
    pub(crate) fn wait_for_silence(&self) {
        until("no process is left", || {
            self.processes().is_empty().then_some(())
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(status) = self.try_status() {
            signal(status.supervisor, Signal::KILL);
        }
    }
}

/// Sends a line to the agent behind a port, and returns its answer.
pub(crate) fn ask(port: u16, line: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("an agent");
    stream
        .write_all(format!("{line}\n").as_bytes())
        .expect("the agent listens");
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .expect("the agent answers");
    answer
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    kill_process(pid, signal).expect("the process runs");
}

/// Waits until `look` finds something, and returns it.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < LIMIT,
            "{what}: not within {} s",
            LIMIT.as_secs()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("the command runs");
        Self {
            success: status.success(),
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Checks that the command succeeded, and returns its stdout.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert!(self.success, "{self:#?}");
        self.stdout
    }

    /// Checks that the command failed, and returns its stderr.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert!(!self.success, "{self:#?}");
        self.stderr
    }
}
