// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a boot costs, in counts that do not depend on how fast the host is.

pub mod profile;
pub mod symbols;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::emulator::EmulatorError;
use crate::machine::{Bus, Disk, Machine};
use crate::process::ProcessError;
use crate::report::{Report, ReportError};
use crate::running::RunError;
use crate::scratch::{Scratch, ScratchError};

/// Runs end as soon as the least count has been seen this often.
const AGREEING: u32 = 3;
/// And at the latest after as many.
const MOST_RUNS: u32 = 100;

/// QEMU's trace events of an MMIO access by the guest.
const EVENTS: [&str; 2] = ["memory_region_ops_read", "memory_region_ops_write"];

/// The first thing the payload prints.
const PAYLOAD: &[u8] = b"payload: ";

/// Why something could not be measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A machine did not do what it should.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The payload is not content, so its figures mean nothing.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The disk could not be made.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A file could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// QEMU could not be asked.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// QEMU could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The loader's symbols cannot be read.
    #[error("cannot read the symbols of {path}")]
    Symbols {
        /// The ELF.
        path: PathBuf,
        /// What is wrong with it.
        source: goblin::error::Error,
    },
    /// QEMU's log of what was executed has no loader or no kernel in it.
    #[error("QEMU's log of `{command}` does not go from the loader to its kernel")]
    ExecutionLog {
        /// What was run.
        command: String,
    },
    /// QEMU's trace is not what it should be.
    #[error(
        "QEMU's trace has no payload in it; was this QEMU built without the trace backend `log`?"
    )]
    Trace,
}

/// How often the guest left its CPU for a device until the payload's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accesses {
    /// Bytes that the loader printed.
    pub printed: u64,
    /// All accesses but for those bytes.
    pub others: u64,
}

/// Counts the instructions from reset to the payload's first, the least of several runs: the loader polls the disk, and
/// how often depends on the host.
///
/// # Errors
/// When a run fails.
pub fn instructions(loader: &Path, payload: &[u8], folder: &Path) -> Result<u64, BenchError> {
    let disk = disk(payload, folder)?;
    let machine = Machine::new(loader).disk(disk).count_instructions();
    let (mut least, mut seen) = (u64::MAX, 0);
    for _run in 0..MOST_RUNS {
        let report = Report::parse(&machine.start()?.wait_for_exit()?.serial)?;
        // One instruction is one nanosecond of the counter's time.
        let count = report.number("counter")? * 1_000_000_000 / report.number("frequency")?.max(1);
        match count.cmp(&least) {
            std::cmp::Ordering::Less => (least, seen) = (count, 1),
            std::cmp::Ordering::Equal => seen += 1,
            std::cmp::Ordering::Greater => {}
        }
        if seen == AGREEING {
            break;
        }
    }
    Ok(least)
}

/// Counts MMIO accesses with the disk on `bus`, the least of a few runs.
///
/// # Errors
/// When a run fails.
pub fn accesses(
    loader: &Path,
    payload: &[u8],
    bus: Bus,
    folder: &Path,
) -> Result<Accesses, BenchError> {
    let trace = folder.join("trace");
    let machine = Machine::new(loader)
        .disk(disk(payload, folder)?.bus(bus))
        .trace(&EVENTS, &trace);
    let mut least: Option<Accesses> = None;
    for _run in 0..AGREEING {
        Report::parse(&machine.start()?.wait_for_exit()?.serial)?;
        let text = fs::read_to_string(&trace).map_err(|source| BenchError::Io {
            path: trace.clone(),
            source,
        })?;
        let accesses = count(&text).ok_or(BenchError::Trace)?;
        least = Some(
            least
                .filter(|least| least.others <= accesses.others)
                .unwrap_or(accesses),
        );
    }
    least.ok_or(BenchError::Trace)
}

/// A disk in `folder` that has `payload` in both slots.
///
/// # Errors
/// When it cannot be written.
pub fn disk(payload: &[u8], folder: &Path) -> Result<Disk, BenchError> {
    let path = folder.join("bench.img");
    Scratch::bootable(payload).create(&path)?;
    Ok(Disk::new(path))
}

/// Lines are such as `memory_region_ops_write cpu 0 mr 0x… addr 0x9000000 value 0x6c size 4 name 'pl011'`; `None` if
/// the payload prints nothing in them.
fn count(trace: &str) -> Option<Accesses> {
    let mut printed = Vec::new();
    let mut others = 0;
    // Looking at the port's flags before it prints is the payload's business already.
    let mut flags_since_byte = 0;
    for line in trace
        .lines()
        .filter(|line| EVENTS.iter().any(|event| line.starts_with(event)))
    {
        let field = |name: &str| {
            let mut words = line.split_whitespace();
            words.find(|word| *word == name)?;
            u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()
        };
        let is_port = line.ends_with("'pl011'");
        let offset = field("addr")? & 0xfff;
        if is_port && offset == 0 && line.starts_with(EVENTS[1]) {
            printed.push(u8::try_from(field("value")? & 0xff).ok()?);
            if printed.ends_with(PAYLOAD) {
                return Some(Accesses {
                    printed: (printed.len() - PAYLOAD.len()) as u64,
                    others,
                });
            }
            // Until the text has become the payload's for certain, its first letters count as the loader's.
            if !PAYLOAD.starts_with(
                printed
                    .rsplit(|byte| *byte == b'\n')
                    .next()
                    .unwrap_or_default(),
            ) {
                others += flags_since_byte;
                flags_since_byte = 0;
            }
        } else if is_port && line.starts_with(EVENTS[0]) {
            flags_since_byte += 1;
        } else {
            others += flags_since_byte + 1;
            flags_since_byte = 0;
        }
    }
    None
}

/// What Linux says of its memory in a guest of `mib` MiB, in kB. The demo's shell is asked.
///
/// # Errors
/// When the guest does not get to its shell or does not answer.
pub fn memory_total(machine: &Machine) -> Result<u64, BenchError> {
    let mut running = machine
        .clone()
        .time_limit(Duration::from_secs(120))
        .start()?;
    running.expect("Leave by: poweroff")?;
    running.type_line("grep MemTotal /proc/meminfo; poweroff")?;
    let serial = running.wait_for_exit()?.serial;
    let total = serial.lines().find_map(|line| {
        line.trim_start()
            .strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse()
            .ok()
    });
    total.ok_or_else(|| ReportError::Absent("MemTotal".to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, address: u64, value: u64, name: &str) -> String {
        format!(
            "memory_region_ops_{kind} cpu 0 mr 0x55 addr {address:#x} value {value:#x} size 4 name '{name}'\n"
        )
    }

    fn print(text: &str) -> String {
        text.bytes()
            .map(|byte| line("write", 0x900_0000, u64::from(byte), "pl011"))
            .collect()
    }

    #[test]
    fn the_loaders_accesses_end_where_the_payload_prints() {
        let flags = line("read", 0x900_0018, 0x90, "pl011");
        let set_up = line("write", 0x900_002c, 0x70, "pl011");
        let disk = line("read", 0xa00_3e00, 0x7472_6976, "virtio-mmio");
        let trace = [
            set_up,
            flags.clone(),
            print("hi\n"),
            disk.clone(),
            flags.clone(),
            print("path\n"),
            disk.clone(),
            flags,
            print("payload: done"),
            disk,
            "something else\n".to_owned(),
        ]
        .concat();
        // Set-up, a look at the flags, the disk, the flags once more, the disk.
        assert_eq!(
            count(&trace),
            Some(Accesses {
                printed: 8,
                others: 5
            })
        );
        assert_eq!(count(&print("no other kernel")), None);
    }
}
