// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two slots, and why one of them is booted.

use core::fmt;

/// A slot: one kernel with its root filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Slot a.
    A,
    /// Slot b.
    B,
}

impl Slot {
    /// The slot that a value of `nerves_fw_active` names.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        match value {
            b"a" => Some(Self::A),
            b"b" => Some(Self::B),
            _ => None,
        }
    }

    /// The other slot.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `a` or `b`, as the environment writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a slot is booted. The kernel finds it in `/chosen/little-loader,reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the active slot.
    Active,
    /// It is the active slot, and not validated yet.
    Trial,
    /// The active slot was on trial and failed it.
    Reverted,
    /// The active slot is not known, or cannot be booted.
    Fallback,
    /// QEMU's command line asked for it.
    Override,
}

impl Reason {
    /// The reason as printed, and as the kernel finds it in `/chosen`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trial => "trial",
            Self::Reverted => "reverted",
            Self::Fallback => "fallback",
            Self::Override => "override",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
