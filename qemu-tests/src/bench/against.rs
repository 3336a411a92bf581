// SPDX-License-Identifier: MIT OR Apache-2.0

//! A comparison of boot methods.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::BenchError;
use super::accesses::accesses_before;
use super::linux::{USERSPACE, median, median_of_any, order, peak};
use super::touched::allotted_before;
use crate::harness::machine::Machine;

/// The time limit of a boot: firmware under emulation, on a busy host.
const LIMIT: Duration = Duration::from_secs(180);

/// Makes Linux print from the start, not only once its console driver is ready.
pub const EARLY_CONSOLE: &str = "earlycon=pl011,0x9000000";

/// A part of Linux's first line.
const LINUX: &str = "Linux version";

/// A boot method and the machines to measure it on.
#[derive(Clone, Debug)]
pub struct Way {
    /// The boot method, as the table names it.
    pub name: &'static str,
    /// A machine whose kernel prints as soon as it runs.
    pub kernel: Machine,
    /// The first line that the kernel prints.
    pub first: &'static str,
    /// Whether that kernel is the test payload, so that times can be compared.
    pub is_payload: bool,
    /// The bytes of the kernel and its initrd in memory, the same for every boot method.
    pub kernel_size: u64,
    /// A machine with the demo's disk and, among Linux's arguments, [`EARLY_CONSOLE`].
    pub linux: Machine,
    /// The size of the loader or firmware in bytes; 0 if QEMU itself loads the kernel.
    pub size: u64,
}

/// The figures of one boot method.
#[derive(Clone, Debug, Serialize)]
pub struct WayCost {
    /// The boot method.
    pub name: &'static str,
    /// From QEMU's start to the test payload's first byte, in ms.
    pub payload_ms: Option<u64>,
    /// From QEMU's start to Linux's first line, in ms.
    pub linux_ms: u64,
    /// From QEMU's start to the demo's shell, in ms.
    pub userspace_ms: u64,
    /// MMIO accesses until the kernel's first byte, without the bytes printed.
    pub accesses: u64,
    /// Bytes printed until then.
    pub printed: u64,
    /// The guest's RAM touched until then, without the kernel's own, in KiB.
    pub touched_kib: u64,
    /// QEMU's memory at its peak until the demo's shell, in KiB; `None` if the system does not
    /// report it.
    pub peak_kib: Option<u64>,
    /// The size of the loader or firmware in bytes; 0 for QEMU itself.
    pub size: u64,
}

/// Measures all of `ways`, interleaved, each boot `rounds` times; times and memory are medians.
///
/// # Errors
/// When one does not boot.
pub fn measure(ways: &[Way], rounds: usize, folder: &Path) -> Result<Vec<WayCost>, BenchError> {
    let mut payloads = vec![Vec::new(); ways.len()];
    let mut linuxes = vec![Vec::new(); ways.len()];
    let mut userspaces = vec![Vec::new(); ways.len()];
    let mut peaks = vec![Vec::new(); ways.len()];
    for round in 0..rounds {
        for index in order(ways.len(), round) {
            let way = &ways[index];
            if way.is_payload {
                let begun = Instant::now();
                let mut running = way.kernel.start()?;
                running.expect(way.first)?;
                payloads[index].push(begun.elapsed());
            }
            let machine = way.linux.clone().time_limit(LIMIT);
            let begun = Instant::now();
            let mut running = machine.start()?;
            running.expect(LINUX)?;
            linuxes[index].push(begun.elapsed());
            running.expect(USERSPACE)?;
            userspaces[index].push(begun.elapsed());
            peaks[index].extend(peak(running.process_id()));
        }
    }
    let milliseconds = |times: &mut [Duration]| -> u64 {
        median(times).as_millis().try_into().unwrap_or(u64::MAX)
    };
    let mut costs = Vec::new();
    for (index, way) in ways.iter().enumerate() {
        let accesses = accesses_before(&way.kernel, way.first, folder)?;
        let touched = allotted_before(&way.kernel, way.first, folder)?;
        costs.push(WayCost {
            name: way.name,
            payload_ms: way.is_payload.then(|| milliseconds(&mut payloads[index])),
            linux_ms: milliseconds(&mut linuxes[index]),
            userspace_ms: milliseconds(&mut userspaces[index]),
            accesses: accesses.others,
            printed: accesses.printed,
            touched_kib: touched.saturating_sub(way.kernel_size) >> 10,
            peak_kib: median_of_any(&mut peaks[index]),
            size: way.size,
        });
    }
    Ok(costs)
}
