// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two slots, and the reasons to boot one of them.

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
    /// Returns the slot that a value of `nerves_fw_active` names, `None` for an invalid value.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<Self> {
        match value {
            b"a" => Some(Self::A),
            b"b" => Some(Self::B),
            _ => None,
        }
    }

    /// Returns the other slot.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Returns `a` or `b`, as in the environment.
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

/// Why a slot is booted. Passed to the kernel in `/chosen/little-loader,reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The slot is the active one.
    Active,
    /// The slot is the active one and not yet validated.
    Trial,
    /// The active slot failed its trial.
    Reverted,
    /// The active slot is unknown or cannot be booted.
    Fallback,
    /// An override on QEMU's command line selects the slot.
    Override,
}

impl Reason {
    /// Returns the reason as printed and as passed to the kernel.
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
