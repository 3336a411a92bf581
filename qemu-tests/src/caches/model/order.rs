// SPDX-License-Identifier: MIT OR Apache-2.0

//! The order in which other observers see stores.
//!
//! Source: Arm ARM, B2.3 ("barrier-ordered-before"): a `dmb` or `dsb` orders all stores before
//! later ones; a store-release is ordered after all earlier stores, and before a later load-acquire
//! and whatever follows that.

use std::collections::HashSet;

use crate::caches::event::{Barrier, Orders};

/// Addresses are tracked in units of this many bytes.
const UNIT: u64 = 8;

/// The stores that are not ordered before a later store.
#[derive(Debug, Default)]
pub(super) struct Unordered {
    plain: HashSet<u64>,
    /// Store-releases, and what they follow.
    released: HashSet<u64>,
}

fn units(address: u64, length: u64) -> impl Iterator<Item = u64> {
    address / UNIT..(address + length).div_ceil(UNIT)
}

impl Unordered {
    pub(super) fn store(&mut self, address: u64, length: u64, is_release: bool) {
        if is_release {
            self.released.extend(self.plain.drain());
            self.released.extend(units(address, length));
        } else {
            self.plain.extend(units(address, length));
        }
    }

    pub(super) fn load_acquire(&mut self) {
        self.released.clear();
    }

    pub(super) fn barrier(&mut self, barrier: Barrier) {
        if barrier.orders != Orders::Loads {
            self.plain.clear();
            self.released.clear();
        }
    }

    /// Returns whether a plain store now could be seen before an earlier one to these bytes. A
    /// store-release is ordered after all earlier stores.
    pub(super) fn has(&self, address: u64, length: u64, is_release: bool) -> bool {
        !is_release
            && units(address, length)
                .any(|unit| self.plain.contains(&unit) || self.released.contains(&unit))
    }
}
