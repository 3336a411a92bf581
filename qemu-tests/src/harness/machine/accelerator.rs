// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's accelerators.

use std::fmt;
use std::fs::OpenOptions;

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

impl fmt::Display for Accelerator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
        })
    }
}
