// SPDX-License-Identifier: MIT OR Apache-2.0

//! A limit for a wait, on the CPU's counter. It is the virtual counter, since reading the physical
//! one may leave the guest under KVM; from EL1 both count alike.
//!
//! Source: Arm ARM (DDI 0487), D12.1.2 (the system counter), D19.12 (CNTFRQ_EL0, CNTVCT_EL0).

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};

/// A moment on the counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// The moment this many seconds from now.
    pub(crate) fn after(seconds: u64) -> Self {
        let ticks = seconds.saturating_mul(CNTFRQ_EL0.get());
        Self(CNTVCT_EL0.get().saturating_add(ticks))
    }

    /// Whether the moment is over.
    pub(crate) fn has_passed(self) -> bool {
        CNTVCT_EL0.get() >= self.0
    }
}
