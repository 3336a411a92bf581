// SPDX-License-Identifier: MIT OR Apache-2.0

//! The virtio-mmio transports in the device tree.

use arrayvec::ArrayVec;

use crate::units::Region;

/// The maximum number of virtio-mmio transports that are kept. QEMU's virt machine has 32.
pub const MAX_TRANSPORTS: usize = 64;

/// The virtio-mmio transports of the machine, highest address first: on QEMU's virt machine, this
/// is the order of the devices on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transports {
    list: ArrayVec<Region, MAX_TRANSPORTS>,
    /// The number of transports beyond [`MAX_TRANSPORTS`].
    pub left_out: usize,
}

impl Transports {
    /// Returns the registers of each transport, highest address first.
    #[must_use]
    pub fn as_slice(&self) -> &[Region] {
        &self.list
    }

    /// Adds a transport, or counts it in `left_out` if the list is full.
    pub(super) fn add(&mut self, registers: Region) {
        let at = self
            .list
            .partition_point(|old| old.start() > registers.start());
        if self.list.try_insert(at, registers).is_err() {
            self.left_out += 1;
        }
    }
}
