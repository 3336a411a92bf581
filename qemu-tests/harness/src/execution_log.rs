// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's log of executed instructions. QEMU translates single instructions, so that each has an
//! entry of its own. The log goes through a pipe because it has 100 bytes to 1 KB per instruction.

use std::io::{self, BufReader, Read};
use std::process::{ChildStderr, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::emulator::{self, EmulatorError, Version};
use super::machine::Machine;
use super::process::{self, ProcessError};

/// The size of the pipe's buffer in bytes.
const BUFFER: usize = 1 << 20;

/// The maximum time of a run whose log grows, in limits of one whose log does not.
const LIMITS: usize = 20;

/// A log that counts its bytes.
#[derive(Debug)]
pub struct Watched {
    log: ChildStderr,
    count: Arc<AtomicU64>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.log.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Runs a machine that logs to stderr until `read` has read enough of the log, which it returns;
/// `None` if the log does not grow for `limit`, or grows endlessly. On a busy host a run may take
/// many times as long as on an idle one.
///
/// # Errors
/// When QEMU cannot be started.
pub fn read<T, E>(
    machine: Machine,
    limit: Duration,
    read: impl FnOnce(BufReader<Watched>) -> T + Send + 'static,
) -> Result<Option<T>, E>
where
    T: Send + 'static,
    E: From<EmulatorError> + From<ProcessError>,
{
    let machine = if emulator::version()? < Version::ONE_INSN_PER_TB {
        machine.arguments(["-singlestep"])
    } else {
        machine.accelerator_option("one-insn-per-tb=on")
    };
    let mut command = machine.command();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    let mut child = process::start(&mut command)?;
    let stderr = child.stderr.take();
    let (sender, receiver) = mpsc::channel();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let reader = thread::spawn(move || {
        let found = stderr.map(|log| {
            let count = counted;
            read(BufReader::with_capacity(BUFFER, Watched { log, count }))
        });
        // The receiver may have timed out.
        let _ = sender.send(found);
    });
    let found = wait(
        || receiver.recv_timeout(limit),
        || count.load(Ordering::Relaxed),
    );
    // The log is complete, or the time is up.
    let _ = child.kill();
    let _ = child.wait();
    let _ = reader.join();
    Ok(found.flatten())
}

/// Waits for what was found, by calls of `receive` that each last for one limit, as long as the
/// count has grown after each of them.
fn wait<T>(
    mut receive: impl FnMut() -> Result<T, RecvTimeoutError>,
    mut count: impl FnMut() -> u64,
) -> Option<T> {
    let mut before = 0;
    for _ in 0..LIMITS {
        match receive() {
            Ok(found) => return Some(found),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = count();
        if now == before {
            return None;
        }
        before = now;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for a result that is there after a number of limits, in which the log grew this much.
    fn waited(limits: usize, grown: &[u64]) -> Option<usize> {
        let (mut tries, mut count, mut grown) = (0, 0, grown.iter());
        let receive = || {
            tries += 1;
            let is_there = tries > limits;
            is_there.then_some(tries).ok_or(RecvTimeoutError::Timeout)
        };
        wait(receive, || {
            count += grown.next().unwrap_or(&0);
            count
        })
    }

    #[test]
    fn a_log_that_grows_has_more_time() {
        assert_eq!(waited(0, &[]), Some(1));
        assert_eq!(waited(3, &[5, 1, 7]), Some(4));
        assert_eq!(waited(3, &[5, 0, 7]), None);
        assert_eq!(waited(1000, &[1; 1000]), None);
    }
}
