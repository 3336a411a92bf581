// SPDX-License-Identifier: MIT OR Apache-2.0

//! Changes to a machine's memory before its first instruction, through QEMU's GDB stub: they create
//! states that QEMU itself never produces, such as a damaged device tree.
//!
//! Source: Debugging with GDB, appendix E, "GDB Remote Serial Protocol".

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The time limit for the stub's socket and for each reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// The maximum number of bytes in one packet; QEMU's buffer holds 4 KiB of text.
const CHUNK: usize = 1024;

/// The kind of an access to memory or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
}

/// A connection to a machine that was started with [`arguments`] and waits for [`Stub::go`].
#[derive(Debug)]
pub struct Stub {
    stream: UnixStream,
}

/// Returns QEMU's arguments to wait for a debugger at the socket `path`.
#[must_use]
pub fn arguments(path: &Path) -> [String; 3] {
    [
        "-S".to_owned(),
        "-gdb".to_owned(),
        format!("unix:{},server=on,wait=off", path.display()),
    ]
}

impl Stub {
    /// Connects to the socket as soon as QEMU has created it.
    ///
    /// # Errors
    /// When no connection succeeds within 20 s.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Reads `length` bytes of memory at `address`.
    ///
    /// # Errors
    /// When the stub refuses, or the connection breaks.
    pub fn read(&mut self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let (at, count) = (
                address + bytes.len() as u64,
                CHUNK.min(length - bytes.len()),
            );
            let answer = self.ask(&format!("m{at:x},{count:x}"))?;
            let refused = || {
                io::Error::other(format!(
                    "the stub does not read {count} bytes at {at:#x}: {answer:?}"
                ))
            };
            if answer.len() != 2 * count {
                return Err(refused());
            }
            for digits in answer.as_bytes().chunks(2) {
                let digits = str::from_utf8(digits).map_err(|_| refused())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refused())?);
            }
        }
        Ok(bytes)
    }

    /// Writes `bytes` to memory at `address`.
    ///
    /// # Errors
    /// When the stub refuses, or the connection breaks.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            let at = address + (index * CHUNK) as u64;
            let digits: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let answer = self.ask(&format!("M{at:x},{:x}:{digits}", chunk.len()))?;
            if answer != "OK" {
                return Err(io::Error::other(format!(
                    "the stub does not write at {at:#x}: {answer:?}"
                )));
            }
        }
        Ok(())
    }

    /// Runs the machine until it accesses the four bytes at the virtual `address`, and returns the
    /// PC: that of the access, or of the next instruction (QEMU's choice). The machine stays
    /// stopped.
    ///
    /// # Errors
    /// When the stub refuses, no such access happens within 20 s, or the connection breaks.
    pub fn run_to_access(&mut self, access: Access, address: u64) -> io::Result<u64> {
        let kind = match access {
            Access::Write => 2,
            Access::Read => 3,
        };
        let set = self.ask(&format!("Z{kind},{address:x},4"))?;
        if set != "OK" {
            let text = format!("the stub does not watch {address:#x}: {set:?}");
            return Err(io::Error::other(text));
        }
        let stopped = self.ask("c")?;
        if !stopped.starts_with("T05") {
            let text = format!("no access to {address:#x}: {stopped:?}");
            return Err(io::Error::other(text));
        }
        // x0 to x30, SP and PC, each of 8 bytes.
        let registers = self.ask("g")?;
        let counter = registers.get(32 * 16..33 * 16);
        counter
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(u64::swap_bytes)
            .ok_or_else(|| io::Error::other(format!("no PC in {registers:?}")))
    }

    /// Detaches from the machine, which then runs without a debugger.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn go(mut self) -> io::Result<()> {
        self.ask("D").map(drop)
    }

    fn ask(&mut self, request: &str) -> io::Result<String> {
        // The reply is `+$TEXT#CC`, and must be acknowledged with a `+`. That is sent before the
        // next request (also before the first one, where it does no harm), because QEMU may already
        // have ended after the last one.
        self.stream.write_all(b"+")?;
        self.stream.write_all(packet(request).as_bytes())?;
        let mut text = Vec::new();
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            match byte[0] {
                b'$' => text.clear(),
                b'#' => break,
                other => text.push(other),
            }
        }
        self.stream.read_exact(&mut [0; 2])?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn packet(request: &str) -> String {
    let sum = request.bytes().fold(0_u8, u8::wrapping_add);
    format!("${request}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_their_checksum() {
        assert_eq!(packet("OK"), "$OK#9a");
        assert_eq!(packet("m40000000,4"), "$m40000000,4#51");
    }
}
