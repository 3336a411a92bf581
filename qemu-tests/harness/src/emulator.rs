// SPDX-License-Identifier: MIT OR Apache-2.0

//! The version of the QEMU in use, and its CPUs.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use crate::process::{self, ProcessError};

/// The time limit for a query of QEMU.
const QUERY: Duration = Duration::from_secs(60);

/// The reason that a query of QEMU failed.
#[derive(Debug, Error)]
pub enum EmulatorError {
    /// QEMU could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// QEMU's output has an unexpected format.
    #[error("`{0}` has an unexpected output: {1:?}")]
    Unexpected(&'static str, String),
}

/// A version of QEMU, ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// The first version that checks the alignment of accesses to device memory, which all memory
    /// is while the MMU is off (QEMU, commit 59754f85ed3, "target/arm: Do memory type alignment
    /// check when translation disabled").
    pub const CHECKS_ALIGNMENT: Self = Self::new(9, 0, 0);

    /// The first version with `-accel tcg,one-insn-per-tb=on` instead of `-singlestep`.
    pub const ONE_INSN_PER_TB: Self = Self::new(8, 1, 0);

    /// Creates a version from its three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let number = text.split("version ").nth(1)?.split_whitespace().next()?;
        let mut parts = number.split('.').map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The file name of QEMU's emulator for arm64.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// Returns the QEMU to use: the value of the environment variable `QEMU` if set, else [`PROGRAM`].
#[must_use]
pub fn program() -> PathBuf {
    env::var_os("QEMU")
        .filter(|name| !name.is_empty())
        .map_or_else(|| PROGRAM.into(), PathBuf::from)
}

/// Queries QEMU's version.
///
/// # Errors
/// When QEMU cannot be run, or its output has an unexpected format.
pub fn version() -> Result<Version, EmulatorError> {
    let text = process::capture(Command::new(program()).arg("--version"), QUERY)?;
    Version::parse(&text).ok_or(EmulatorError::Unexpected("--version", text))
}

/// Queries the CPU models that `-cpu` accepts.
///
/// # Errors
/// When QEMU cannot be run, or its output has an unexpected format.
pub fn cpu_models() -> Result<Vec<String>, EmulatorError> {
    let text = process::capture(
        Command::new(program()).args(["-M", "virt", "-cpu", "help"]),
        QUERY,
    )?;
    let models = models(&text);
    if models.is_empty() {
        return Err(EmulatorError::Unexpected("-cpu help", text));
    }
    Ok(models)
}

/// Returns the first word of each indented line.
fn models(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let debian =
            Version::parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n");
        let release = Version::parse("QEMU emulator version 10.0.2");
        assert_eq!(debian.unwrap().to_string(), "7.2.22");
        assert!(debian.unwrap() < Version::CHECKS_ALIGNMENT);
        assert!(release.unwrap() > Version::CHECKS_ALIGNMENT);
        assert_eq!(Version::parse("QEMU emulator version 10"), None);
    }

    #[test]
    fn models_are_read() {
        let text = "Available CPUs:\n  cortex-a53\n  max\n  pxa250 (deprecated)\n";
        assert_eq!(models(text), ["cortex-a53", "max", "pxa250"]);
    }
}
