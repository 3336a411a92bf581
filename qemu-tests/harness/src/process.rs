// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs other programs under a time limit, with errors that show the whole command.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use wait_timeout::ChildExt;

/// The reason that a program failed.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program could not be started at all.
    #[error("cannot start `{command}`")]
    Start {
        /// The command as a line for a shell.
        command: String,
        /// The system's error.
        source: io::Error,
    },
    /// The program ended with an exit status other than 0.
    #[error("`{command}` failed ({status}){}", indented(.stderr))]
    Failed {
        /// The command as a line for a shell.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its stderr, if captured.
        stderr: String,
    },
    /// The program was still running at its time limit and was killed.
    #[error("`{command}` did not end within {} s and was stopped{}", .limit.as_secs(), indented(.stderr))]
    TimedOut {
        /// The command as a line for a shell.
        command: String,
        /// The time limit.
        limit: Duration,
        /// Its stderr until then, if captured.
        stderr: String,
    },
}

fn indented(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("\n    {line}"))
        .collect()
}

/// Returns the command as one line for a shell, environment changes first.
#[must_use]
pub fn shell_line(command: &Command) -> String {
    let settings = command.get_envs().filter_map(|(name, value)| {
        Some(format!(
            "{}={}",
            name.to_string_lossy(),
            shell_words::quote(&value?.to_string_lossy())
        ))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| shell_words::quote(&word.to_string_lossy()).into_owned());
    settings.chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs `command` for at most `limit` and returns its stdout; stderr goes into the error.
///
/// # Errors
/// Every [`ProcessError`].
pub fn capture(command: &mut Command, limit: Duration) -> Result<String, ProcessError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(command)?;
    // Both pipes are drained concurrently, because a full one would block the program.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let ended = wait(&mut child, command, limit);
    let (stdout, stderr) = (
        stdout.join().unwrap_or_default(),
        stderr.join().unwrap_or_default(),
    );
    outcome(ended?, command, limit, stderr)?;
    Ok(stdout)
}

/// Runs `command` for at most `limit`. All its output goes to this process's stderr, so that stdout
/// has only this process's own.
///
/// # Errors
/// Every [`ProcessError`].
pub fn run(command: &mut Command, limit: Duration) -> Result<(), ProcessError> {
    command.stdout(Stdio::from(io::stderr()));
    let mut child = start(command)?;
    let ended = wait(&mut child, command, limit)?;
    outcome(ended, command, limit, String::new())
}

/// Returns an error if the command failed or was killed at its limit.
fn outcome(
    ended: Option<ExitStatus>,
    command: &Command,
    limit: Duration,
    stderr: String,
) -> Result<(), ProcessError> {
    let command = shell_line(command);
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ProcessError::Failed {
            command,
            status,
            stderr,
        }),
        None => Err(ProcessError::TimedOut {
            command,
            limit,
            stderr,
        }),
    }
}

/// Starts `command`; the error contains the command line.
///
/// # Errors
/// [`ProcessError::Start`].
pub fn start(command: &mut Command) -> Result<Child, ProcessError> {
    command.spawn().map_err(|source| ProcessError::Start {
        command: shell_line(command),
        source,
    })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A read error ends the text; the exit status shows whether that matters.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the child; returns `None` if it was killed at the limit.
fn wait(
    child: &mut Child,
    command: &Command,
    limit: Duration,
) -> Result<Option<ExitStatus>, ProcessError> {
    let failed = |source| ProcessError::Start {
        command: shell_line(command),
        source,
    };
    let status = child.wait_timeout(limit).map_err(failed)?;
    if status.is_none() {
        child.kill().map_err(failed)?;
        child.wait().map_err(failed)?;
    }
    Ok(status)
}

/// Finds `program` on the `PATH` or in /usr/sbin and /sbin, which are not on every user's `PATH`.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let folders = std::env::join_paths(folders).ok()?;
    which::which_in(program, Some(folders), Path::new("/")).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_failure_shows_the_command_and_its_stderr() {
        let error = capture(
            Command::new("sh").args(["-c", "echo 'no such disk' >&2; exit 3"]),
            Duration::from_secs(9),
        );
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("sh -c 'echo '\\''no such disk'\\'' >&2; exit 3'"),
            "{text}"
        );
        assert!(
            text.contains("exit status: 3") && text.contains("\n    no such disk"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let begun = Instant::now();
        let error =
            capture(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_shell_takes_the_line_back() {
        let mut command = Command::new("printf");
        command
            .args(["%s|", "a b", "it's", "", "$HOME"])
            .env("GREETING", "two words");
        let echoed = capture(
            Command::new("sh").arg("-c").arg(shell_line(&command)),
            Duration::from_secs(9),
        );
        assert_eq!(echoed.unwrap(), "a b|it's||$HOME|");
    }
}
