// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's accelerators.

use std::fmt;
use std::fs::OpenOptions;
use std::str::FromStr;

use thiserror::Error;

/// The accelerator, which executes the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// Emulation; works everywhere.
    #[default]
    Tcg,
    /// Linux's hypervisor.
    Kvm,
    /// macOS's hypervisor.
    Hvf,
}

impl Accelerator {
    /// Returns the host's hypervisor if the host is arm64 and has one, else emulation.
    #[must_use]
    pub fn of_host() -> Self {
        if !cfg!(target_arch = "aarch64") {
            return Self::Tcg;
        }
        if cfg!(target_os = "macos") {
            return Self::Hvf;
        }
        // The device exists on every KVM host, but not every user may open it.
        let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm");
        if cfg!(target_os = "linux") && kvm.is_ok() {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }
}

impl FromStr for Accelerator {
    type Err = UnknownAccelerator;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Tcg, Self::Kvm, Self::Hvf]
            .into_iter()
            .find(|accelerator| accelerator.to_string() == name)
            .ok_or_else(|| UnknownAccelerator(name.to_owned()))
    }
}

/// A name that is not an accelerator's.
#[derive(Debug, Error)]
#[error("{0:?} is not an accelerator: tcg, kvm and hvf are")]
pub struct UnknownAccelerator(String);

impl fmt::Display for Accelerator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
        })
    }
}
