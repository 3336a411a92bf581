// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts a machine, and waits for its output and its end.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use super::error::{Log, RunError};
use super::pipe::{InVain, Pipe};
use crate::process;

/// The result of a machine that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The complete output of the serial port.
    pub serial: String,
    /// The time from start to end.
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
    /// The offset in the serial log up to which texts have been matched.
    matched: usize,
}

impl Running {
    /// Starts `command`, whose stdin and stdout are the serial port; it may run for at most
    /// `limit`.
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
        let (serial, serial_reader) = Pipe::filled_from(child.stdout.take());
        let (qemu, qemu_reader) = Pipe::filled_from(child.stderr.take());
        let readers = vec![serial_reader, qemu_reader];
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

    /// Waits until `text` appears after the previously matched text, within the machine's time
    /// limit.
    ///
    /// # Errors
    /// When it does not appear in time, or the machine ends first.
    pub fn expect(&mut self, text: &str) -> Result<(), RunError> {
        self.expect_within(text, self.remaining())
    }

    /// Waits until `text` appears after the previously matched text, for at most `limit`.
    ///
    /// # Errors
    /// When it does not appear in time, or the machine ends first.
    pub fn expect_within(&mut self, text: &str, limit: Duration) -> Result<(), RunError> {
        let deadline = Instant::now() + limit.min(self.remaining());
        let found = self.serial.wait_for(text, self.matched, deadline);
        let text = text.to_owned();
        match found {
            Ok(end) => {
                self.matched = end;
                Ok(())
            }
            Err(InVain::Ended) => Err(RunError::EndedWithout {
                text,
                log: self.log(),
            }),
            Err(InVain::TimeUp) => Err(RunError::Missing {
                text,
                limit,
                log: self.log(),
            }),
        }
    }

    /// Sends `line` and a carriage return to the serial port.
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
                    // Only a panic is an error here; the output read until then is kept.
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

    /// Returns QEMU's process ID.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the serial port's output so far.
    #[must_use]
    pub fn serial(&self) -> String {
        self.serial.text()
    }

    /// Returns the context of a failure, as a failing test prints it.
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
        // Errors mean that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        // sh needs a newline or the end of its input, so close it.
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
