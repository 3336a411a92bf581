// SPDX-License-Identifier: MIT OR Apache-2.0

//! The number of device (MMIO) accesses by the loader.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::BenchError;
use crate::harness::machine::Machine;
use crate::harness::report::Report;

/// The number of runs, of which the lowest count is used.
const RUNS: u32 = 3;

/// The time that QEMU gets to write its trace to the file.
const SETTLE: Duration = Duration::from_millis(300);

/// QEMU's trace events of an MMIO access by the guest.
const EVENTS: [&str; 2] = ["memory_region_ops_read", "memory_region_ops_write"];

/// The first thing the payload prints.
const PAYLOAD: &[u8] = b"payload: ";

/// The guest's MMIO accesses until the payload's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accesses {
    /// Bytes that the loader printed.
    pub printed: u64,
    /// All accesses except those bytes.
    pub others: u64,
}

/// Counts the MMIO accesses of `machine`, the lowest of three runs. QEMU writes its trace into
/// `folder`.
///
/// # Errors
/// When a run fails, or the payload reports an error.
pub fn accesses(machine: &Machine, folder: &Path) -> Result<Accesses, BenchError> {
    let trace = folder.join("trace");
    let machine = machine.clone().trace(&EVENTS, &trace);
    least(&trace, PAYLOAD, || {
        Report::parse(&machine.start()?.wait_for_exit()?.serial)?;
        Ok(())
    })
}

/// Counts the accesses until the guest prints `first`; the run is stopped there.
///
/// # Errors
/// When the guest does not print `first`.
pub fn accesses_before(
    machine: &Machine,
    first: &str,
    folder: &Path,
) -> Result<Accesses, BenchError> {
    let trace = folder.join("trace");
    let machine = machine.clone().trace(&EVENTS, &trace);
    least(&trace, first.as_bytes(), || {
        let mut running = machine.start()?;
        running.expect(first)?;
        // QEMU traces an access before it prints the text, but buffers the trace.
        running.expect("\n")?;
        thread::sleep(SETTLE);
        Ok(())
    })
}

fn least(
    trace: &Path,
    first: &[u8],
    mut run: impl FnMut() -> Result<(), BenchError>,
) -> Result<Accesses, BenchError> {
    let mut least: Option<Accesses> = None;
    for _run in 0..RUNS {
        run()?;
        let text = fs::read(trace).map_err(|source| BenchError::Io {
            path: trace.into(),
            source,
        })?;
        let accesses = count(&String::from_utf8_lossy(&text), first).ok_or(BenchError::Trace)?;
        least = Some(
            least
                .filter(|least| least.others <= accesses.others)
                .unwrap_or(accesses),
        );
    }
    least.ok_or(BenchError::Trace)
}

/// Counts the accesses in lines such as `memory_region_ops_write cpu 0 mr 0x… addr 0x9000000 value
/// 0x6c size 4 name 'pl011'`; `None` if the payload's text, which starts with `first`, is not in
/// them.
fn count(trace: &str, first: &[u8]) -> Option<Accesses> {
    let mut printed = Vec::new();
    let mut others = 0;
    // Reads of UARTFR before the payload's first byte are the payload's, not the loader's.
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
            if printed.ends_with(first) {
                return Some(Accesses {
                    printed: (printed.len() - first.len()) as u64,
                    others,
                });
            }
            // A line that starts like `first` may be the payload's: its flag reads are counted only
            // once it differs.
            if !first.starts_with(
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
        // Set-up, a read of the flags, the disk, another read of the flags, the disk.
        assert_eq!(
            count(&trace, PAYLOAD),
            Some(Accesses {
                printed: 8,
                others: 5
            })
        );
        assert_eq!(count(&print("no other kernel"), PAYLOAD), None);
    }
}
