// SPDX-License-Identifier: MIT OR Apache-2.0

//! At which exception level the kernel is entered.
//!
//! Linux wants all CPUs at one level and taints itself otherwise. Entered at EL2, PSCI starts the other CPUs at EL2 too, so
//! a machine with several CPUs stays there; one CPU alone goes to EL1, as without `virtualization=on`. Entered at EL3 there
//! is no PSCI, so there is one CPU, and it goes to EL1.

/// What the build was told to do when the loader is entered at EL2 (`LITTLE_LOADER_EL2`).
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
    /// The policy of a name.
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

/// The level of the kernel, 1 or 2, for a loader that was entered at `entered` on a machine with so many CPUs.
#[must_use]
pub fn of_kernel(entered: u64, cpus: usize, policy: El2Policy) -> u64 {
    match (entered, policy) {
        (2, El2Policy::Keep) => 2,
        (2, El2Policy::Auto) if cpus > 1 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_entered_at_el2_can_stay_there() {
        for policy in [El2Policy::Auto, El2Policy::Keep, El2Policy::Drop] {
            assert_eq!(of_kernel(1, 4, policy), 1);
            assert_eq!(of_kernel(3, 4, policy), 1);
        }
        assert_eq!(of_kernel(2, 1, El2Policy::Auto), 1);
        assert_eq!(of_kernel(2, 2, El2Policy::Auto), 2);
        assert_eq!(of_kernel(2, 1, El2Policy::Keep), 2);
        assert_eq!(of_kernel(2, 4, El2Policy::Drop), 1);
        assert_eq!(El2Policy::from_name("sometimes"), None);
    }
}
