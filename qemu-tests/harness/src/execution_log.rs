// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's log of executed instructions. QEMU translates single instructions, so that each has an
//! entry of its own. The log goes through a pipe because it has 100 bytes to 1 KB per instruction.

use std::io::BufReader;
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::emulator::{self, EmulatorError, Version};
use super::machine::Machine;
use super::process::{self, ProcessError};

/// The size of the pipe's buffer in bytes.
const BUFFER: usize = 1 << 20;

/// Runs a machine that logs to stderr until `read` has read enough of the log, which it returns;
/// `None` if `limit` is over before.
///
/// # Errors
/// When QEMU cannot be started.
pub fn read<T, E>(
    machine: Machine,
    limit: Duration,
    read: impl FnOnce(BufReader<ChildStderr>) -> T + Send + 'static,
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
    let reader = thread::spawn(move || {
        let found = stderr.map(|log| read(BufReader::with_capacity(BUFFER, log)));
        // The receiver may have timed out.
        let _ = sender.send(found);
    });
    let found = receiver.recv_timeout(limit);
    // The log is complete, or the time is up.
    let _ = child.kill();
    let _ = child.wait();
    let _ = reader.join();
    Ok(found.ok().flatten())
}
