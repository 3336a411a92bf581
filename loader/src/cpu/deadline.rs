// SPDX-License-Identifier: MIT OR Apache-2.0

//! A time limit for a wait, on the CPU's virtual counter: reading the physical counter may exit the
//! guest under KVM. At EL1 both count at the same rate.
//!
//! Source: Arm ARM (DDI 0487), D12.1.2 (the system counter), D19.12 (CNTFRQ_EL0, CNTVCT_EL0).

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};

/// A value of the counter, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// Returns the deadline this many seconds from now.
    pub(crate) fn after(seconds: u64) -> Self {
        let ticks = seconds.saturating_mul(CNTFRQ_EL0.get());
        Self(CNTVCT_EL0.get().saturating_add(ticks))
    }

    /// Whether the counter has reached the deadline.
    pub(crate) fn has_passed(self) -> bool {
        CNTVCT_EL0.get() >= self.0
    }
}
