// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ways to boot, side by side.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::BenchError;
use super::accesses::accesses_before;
use super::linux::{USERSPACE, median, order, peak};
use super::touched::allotted_before;
use crate::machine::Machine;

/// How long a boot may take: firmware under emulation, on a busy host.
const LIMIT: Duration = Duration::from_secs(180);

/// A way to boot.
#[derive(Clone, Debug)]
pub struct Way {
    /// What boots.
    pub name: &'static str,
    /// A machine with a kernel that says at once that it runs.
    pub kernel: Machine,
    /// What that kernel says first.
    pub first: &'static str,
    /// The bytes that the kernel has in memory whoever loads it, with its initrd.
    pub kernel_size: u64,
    /// A machine with the demo's disk.
    pub linux: Machine,
    /// The bytes of what boots; 0 if that is QEMU itself.
    pub size: u64,
}

/// What a way costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// What boots.
    pub name: &'static str,
    /// From QEMU's start to the kernel's first byte, in ms.
    pub kernel_ms: u64,
    /// From QEMU's start to the demo's shell, in ms.
    pub userspace_ms: u64,
    /// MMIO accesses until the kernel's first byte, without the bytes printed.
    pub accesses: u64,
    /// Bytes printed until then.
    pub printed: u64,
    /// The guest's RAM touched until then, without the kernel's own, in KiB.
    pub touched_kib: u64,
    /// QEMU's memory at its peak until the demo's shell, in KiB.
    pub peak_kib: u64,
    /// The bytes of what boots.
    pub size: u64,
}

/// Measures all of `ways`, each boot `rounds` times in turn; times and memory are medians.
///
/// # Errors
/// When one does not boot.
pub fn measure(ways: &[Way], rounds: usize, folder: &Path) -> Result<Vec<Cost>, BenchError> {
    let mut kernels = vec![Vec::new(); ways.len()];
    let mut userspaces = vec![Vec::new(); ways.len()];
    let mut peaks = vec![Vec::new(); ways.len()];
    for round in 0..rounds {
        for index in order(ways.len(), round) {
            let way = &ways[index];
            kernels[index].push(time_to(&way.kernel, way.first)?.0);
            let (time, peak) = time_to(&way.linux, USERSPACE)?;
            userspaces[index].push(time);
            peaks[index].push(peak);
        }
    }
    let milliseconds =
        |times: &mut [Duration]| median(times).as_millis().try_into().unwrap_or(u64::MAX);
    let mut costs = Vec::new();
    for (index, way) in ways.iter().enumerate() {
        let accesses = accesses_before(&way.kernel, way.first, folder)?;
        let touched = allotted_before(&way.kernel, way.first, folder)?;
        costs.push(Cost {
            name: way.name,
            kernel_ms: milliseconds(&mut kernels[index]),
            userspace_ms: milliseconds(&mut userspaces[index]),
            accesses: accesses.others,
            printed: accesses.printed,
            touched_kib: touched.saturating_sub(way.kernel_size) >> 10,
            peak_kib: median(&mut peaks[index]),
            size: way.size,
        });
    }
    Ok(costs)
}

/// The time until `text`, and the peak of QEMU's memory then.
fn time_to(machine: &Machine, text: &str) -> Result<(Duration, u64), BenchError> {
    let machine = machine.clone().time_limit(LIMIT);
    let begun = Instant::now();
    let mut running = machine.start()?;
    running.expect(text)?;
    Ok((begun.elapsed(), peak(running.process_id())))
}
