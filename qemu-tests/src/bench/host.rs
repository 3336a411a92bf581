// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host of a measurement.

use std::fs;
use std::thread;

use super::BenchError;
use crate::harness::emulator;
use crate::toolchain::Toolchain;

/// Returns one line with the processor, its number of cores, and the versions of QEMU and the
/// compiler.
///
/// # Errors
/// When QEMU or the compiler does not report its version.
pub fn describe() -> Result<String, BenchError> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let qemu = emulator::version()?;
    let rustc = Toolchain::query()?.version;
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor(&information).unwrap_or(std::env::consts::ARCH);
    Ok(format!(
        "Measured on {cores} cores of {processor} with QEMU {qemu} (TCG), loader built by rustc {rustc}."
    ))
}

/// Returns the first `model name` of `/proc/cpuinfo` (x86).
fn processor(information: &str) -> Option<&str> {
    let line = information
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_a_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nmodel name\t: Other\n";
        assert_eq!(processor(text), Some("Some CPU @ 2.00GHz"));
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}
