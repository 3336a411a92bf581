// SPDX-License-Identifier: MIT OR Apache-2.0

//! A started machine: its serial console can be waited on and written to, and its end is certain.
//!
//! The crates for this (rexpect, expectrl) have one time limit for a whole session, look for new output every tenth of
//! a second, and drop what was matched, while a failing test needs the whole log. So a thread collects the log here,
//! and whoever waits is woken by it.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;
use wait_timeout::ChildExt;

use crate::process::{self, ProcessError};

/// How a run went wrong. Every message ends with the command and all that the machine printed.
#[derive(Debug, Error)]
pub enum RunError {
    /// QEMU could not be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// The text did not come within its time.
    #[error("no {text:?} within {} s{log}", .limit.as_secs_f32())]
    Missing {
        /// What was waited for.
        text: String,
        /// How long.
        limit: Duration,
        /// The command and the serial log.
        log: Log,
    },
    /// The machine ended before it printed the text.
    #[error("the machine ended without {text:?}{log}")]
    EndedWithout {
        /// What was waited for.
        text: String,
        /// The command and the serial log.
        log: Log,
    },
    /// The machine was still running at the end of its time.
    #[error("the machine did not end by itself within {} s{log}", .limit.as_secs_f32())]
    StillRunning {
        /// How long.
        limit: Duration,
        /// The command and the serial log.
        log: Log,
    },
    /// QEMU itself failed.
    #[error("QEMU ended with {status}{log}")]
    Qemu {
        /// How it ended.
        status: ExitStatus,
        /// The command and the serial log.
        log: Log,
    },
    /// The serial port or the process could not be used.
    #[error("cannot talk to the machine: {source}{log}")]
    Io {
        /// What the system said.
        source: io::Error,
        /// The command and the serial log.
        log: Log,
    },
}

/// What a failing test shows.
#[derive(Clone, Debug)]
pub struct Log {
    /// QEMU's command line.
    pub command: String,
    /// What QEMU wrote to stderr.
    pub qemu: String,
    /// What came out of the serial port.
    pub serial: String,
}

impl std::fmt::Display for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "\ncommand: {}\nserial port:", self.command)?;
        for line in self.serial.lines() {
            write!(formatter, "\n    {line}")?;
        }
        if !self.qemu.is_empty() {
            write!(formatter, "\nQEMU: {}", self.qemu.trim_end())?;
        }
        Ok(())
    }
}

/// A machine that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Everything that came out of the serial port.
    pub serial: String,
    /// How long the machine ran.
    pub elapsed: Duration,
}

/// A running machine; dropping it stops QEMU.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    started: Instant,
    limit: Duration,
    serial: Arc<Pipe>,
    qemu: Arc<Pipe>,
    readers: Vec<JoinHandle<()>>,
    /// Up to where the serial log has been matched.
    matched: usize,
}

/// Output so far, and whether more can come.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Pipe {
    /// A reader that panicked has at worst left out bytes.
    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().0).into_owned()
    }

    fn fill(self: &Arc<Self>, from: Option<impl Read + Send + 'static>) -> JoinHandle<()> {
        let pipe = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            if let Some(mut from) = from {
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    pipe.lock().0.extend_from_slice(&buffer[..count]);
                    pipe.changed.notify_all();
                }
            }
            pipe.lock().1 = true;
            pipe.changed.notify_all();
        })
    }
}

impl Running {
    /// Starts `command`, whose stdin and stdout are a serial port, for at most `limit`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, limit: Duration) -> Result<Self, RunError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = process::start(&mut command)?;
        let (serial, qemu) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let readers = vec![
            serial.fill(child.stdout.take()),
            qemu.fill(child.stderr.take()),
        ];
        let command = process::shell_line(&command);
        Ok(Self {
            child,
            command,
            started,
            limit,
            serial,
            qemu,
            readers,
            matched: 0,
        })
    }

    /// Waits until `text` comes, after what was waited for before, within the machine's time limit.
    ///
    /// # Errors
    /// When it does not come, or the machine ends first.
    pub fn expect(&mut self, text: &str) -> Result<(), RunError> {
        self.expect_within(text, self.remaining())
    }

    /// Waits until `text` comes, after what was waited for before, for at most `limit`.
    ///
    /// # Errors
    /// When it does not come, or the machine ends first.
    pub fn expect_within(&mut self, text: &str, limit: Duration) -> Result<(), RunError> {
        let deadline = Instant::now() + limit.min(self.remaining());
        let found = {
            let mut state = self.serial.lock();
            loop {
                if let Some(end) = find(&state.0[self.matched..], text.as_bytes()) {
                    break Ok(self.matched + end);
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if state.1 || left.is_zero() {
                    break Err(state.1);
                }
                let woken = self.serial.changed.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        };
        let text = text.to_owned();
        match found {
            Ok(end) => {
                self.matched = end;
                Ok(())
            }
            Err(true) => Err(RunError::EndedWithout {
                text,
                log: self.log(),
            }),
            Err(false) => Err(RunError::Missing {
                text,
                limit,
                log: self.log(),
            }),
        }
    }

    /// Types `line` and the return key.
    ///
    /// # Errors
    /// When QEMU has ended.
    pub fn type_line(&mut self, line: &str) -> Result<(), RunError> {
        let Some(stdin) = &mut self.child.stdin else {
            return Ok(());
        };
        let written = stdin
            .write_all(format!("{line}\r").as_bytes())
            .and_then(|()| stdin.flush());
        written.map_err(|source| RunError::Io {
            source,
            log: self.log(),
        })
    }

    /// Waits until the machine ends by itself, within its time limit.
    ///
    /// # Errors
    /// When it does not, or when QEMU's exit status is not 0.
    pub fn wait_for_exit(mut self) -> Result<Ended, RunError> {
        let limit = self.remaining();
        let status = self.child.wait_timeout(limit);
        match status.map_err(|source| RunError::Io {
            source,
            log: self.log(),
        })? {
            None => Err(RunError::StillRunning {
                limit: self.limit,
                log: self.log(),
            }),
            Some(status) => {
                let elapsed = self.started.elapsed();
                for reader in self.readers.drain(..) {
                    // A reader has nothing to return, and what it read is kept.
                    let _ = reader.join();
                }
                if !status.success() {
                    return Err(RunError::Qemu {
                        status,
                        log: self.log(),
                    });
                }
                Ok(Ended {
                    serial: self.serial.text(),
                    elapsed,
                })
            }
        }
    }

    /// QEMU's process number.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// What the machine printed so far.
    #[must_use]
    pub fn serial(&self) -> String {
        self.serial.text()
    }

    /// What a failing test shows.
    #[must_use]
    pub fn log(&self) -> Log {
        Log {
            command: self.command.clone(),
            qemu: self.qemu.text(),
            serial: self.serial.text(),
        }
    }

    fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the first `needle` ends.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
        .map(|start| start + needle.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Running::start(command, limit).unwrap()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn texts_are_matched_in_order_and_answered() {
        let mut running = shell("echo ready; read line; echo \"got $line\"", LONG);
        running.expect("ready").unwrap();
        running.type_line("hello").unwrap();
        running.type_line("").unwrap();
        // sh reads up to the newline only, so close its input.
        drop(running.child.stdin.take());
        running.expect("got hello").unwrap();
        let error = running.expect("ready").unwrap_err();
        assert!(
            matches!(&error, RunError::EndedWithout { .. }),
            "what was matched is past: {error}"
        );
        assert!(
            running
                .wait_for_exit()
                .unwrap()
                .serial
                .starts_with("ready\ngot hello")
        );
    }

    #[test]
    fn a_failure_shows_command_serial_log_and_qemus_complaint() {
        let mut running = shell("echo printed; echo complaint >&2; sleep 60", LONG);
        running.expect("printed").unwrap();
        let error = running
            .expect_within("more", Duration::from_millis(200))
            .unwrap_err()
            .to_string();
        for part in [
            "no \"more\" within 0.2 s",
            "sleep 60",
            "\n    printed",
            "QEMU: complaint",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }

    #[test]
    fn the_time_limit_holds_and_the_process_is_gone() {
        let running = shell("exec sleep 60", Duration::from_millis(100));
        let id = running.process_id();
        let error = running.wait_for_exit().unwrap_err();
        assert!(matches!(error, RunError::StillRunning { .. }), "{error}");
        assert!(!process::find("ps").is_some_and(|ps| {
            Command::new(ps)
                .args(["-p", &id.to_string()])
                .stdout(Stdio::null())
                .status()
                .unwrap()
                .success()
        }));
    }

    #[test]
    fn an_exit_status_of_qemu_is_an_error() {
        let error = shell("exit 1", LONG).wait_for_exit().unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }
}
