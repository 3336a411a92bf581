// SPDX-License-Identifier: MIT OR Apache-2.0

//! The exception level at which the kernel is entered.
//!
//! Linux expects all CPUs to start at the same level, and taints itself otherwise. If the loader is
//! entered at EL2, PSCI starts the other CPUs at EL2 too, so with several CPUs the kernel is
//! entered at EL2; a single CPU drops to EL1, as without `virtualization=on`. A loader entered at
//! EL3 has no PSCI, so there is only one CPU, and it drops to EL1.

use core::fmt;

use crate::display::Word;

/// An exception level at which the loader or a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum ExceptionLevel {
    /// The level of an operating system.
    El1 = 1,
    /// The level of a hypervisor.
    El2 = 2,
    /// The level of firmware.
    El3 = 3,
}

impl ExceptionLevel {
    /// Decodes the field `EL` of CurrentEL (Arm ARM, C5.2.2). EL0 cannot read that register.
    #[must_use]
    pub const fn from_current_el(field: u64) -> Self {
        match field {
            3 => Self::El3,
            2 => Self::El2,
            _ => Self::El1,
        }
    }
}

impl fmt::Display for ExceptionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::El1 => "EL1",
            Self::El2 => "EL2",
            Self::El3 => "EL3",
        };
        Word(name).fmt(f)
    }
}

/// The kernel's level if the loader is entered at EL2, a build setting (`LITTLE_LOADER_EL2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum El2Policy {
    /// `auto`: EL1 with one CPU, EL2 with several.
    Auto,
    /// `keep`: EL2.
    Keep,
    /// `drop`: EL1.
    Drop,
}

impl El2Policy {
    /// Parses the value of the setting. Returns `None` if it is unknown.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "keep" => Some(Self::Keep),
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }
}

/// Returns the kernel's level, EL1 or EL2, if the loader was entered at `entered` on a machine with
/// `cpus` CPUs.
#[must_use]
pub fn of_kernel(entered: ExceptionLevel, cpus: usize, policy: El2Policy) -> ExceptionLevel {
    match (entered, policy) {
        (ExceptionLevel::El2, El2Policy::Keep) => ExceptionLevel::El2,
        (ExceptionLevel::El2, El2Policy::Auto) if cpus > 1 => ExceptionLevel::El2,
        _ => ExceptionLevel::El1,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::ExceptionLevel::{El1, El2, El3};
    use super::*;

    #[test]
    fn only_what_was_entered_at_el2_can_stay_there() {
        for policy in [El2Policy::Auto, El2Policy::Keep, El2Policy::Drop] {
            assert_eq!(of_kernel(El1, 4, policy), El1);
            assert_eq!(of_kernel(El3, 4, policy), El1);
        }
        assert_eq!(of_kernel(El2, 1, El2Policy::Auto), El1);
        assert_eq!(of_kernel(El2, 2, El2Policy::Auto), El2);
        assert_eq!(of_kernel(El2, 1, El2Policy::Keep), El2);
        assert_eq!(of_kernel(El2, 4, El2Policy::Drop), El1);
        assert_eq!(El2Policy::from_name("sometimes"), None);
    }

    #[test]
    fn levels_are_read_and_shown_by_their_numbers() {
        for (level, name) in [(El1, "EL1"), (El2, "EL2"), (El3, "EL3")] {
            assert_eq!(ExceptionLevel::from_current_el(level as u64), level);
            assert_eq!(level.to_string(), name);
        }
        assert!(El2 < El3);
    }
}
