// SPDX-License-Identifier: MIT OR Apache-2.0

//! The version of the QEMU in use, and its CPUs.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use crate::harness::process::{self, ProcessError};

/// How long QEMU may take to answer.
const QUERY: Duration = Duration::from_secs(60);

/// Why QEMU is not known.
#[derive(Debug, Error)]
pub enum EmulatorError {
    /// It did not answer.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its answer is of another kind.
    #[error("`{0}` answered without what was looked for: {1:?}")]
    Unexpected(&'static str, String),
}

/// A version of QEMU. Older ones are less.
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
    /// From here on QEMU checks the alignment of accesses to device memory, and all memory is that
    /// while the MMU is off (QEMU, commit 59754f85ed3, "target/arm: Do memory type alignment
    /// check when translation disabled").
    pub const CHECKS_ALIGNMENT: Self = Self::new(9, 0, 0);

    /// The version of these three numbers.
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

/// The QEMU to use: the value of the environment variable `QEMU` if it is set, else [`PROGRAM`].
#[must_use]
pub fn program() -> PathBuf {
    env::var_os("QEMU")
        .filter(|name| !name.is_empty())
        .map_or_else(|| PROGRAM.into(), PathBuf::from)
}

/// Asks QEMU what it is.
///
/// # Errors
/// When it does not tell.
pub fn version() -> Result<Version, EmulatorError> {
    let text = process::capture(Command::new(program()).arg("--version"), QUERY)?;
    Version::parse(&text).ok_or(EmulatorError::Unexpected("--version", text))
}

/// Asks QEMU for the models that its `-cpu` takes.
///
/// # Errors
/// When it does not tell.
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

/// A model is the first word of an indented line.
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
