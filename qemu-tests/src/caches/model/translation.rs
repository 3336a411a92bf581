// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stage 1 translation of EL1, as far as the loader uses it: TTBR0_EL1, 4 KiB granule. The
//! tables' contents are known from the stores that made them.
//!
//! Source: Arm ARM, D8.2 and D8.3.

use std::collections::HashMap;

use super::lines::Lines;

/// The size of a descriptor in bytes.
pub(super) const DESCRIPTOR: u64 = 8;

const PAGE_SHIFT: u32 = 12;
/// Each level translates 9 bits.
const LEVEL_SHIFT: u32 = 9;
const LAST_LEVEL: u32 = 3;
/// The bits of a descriptor with the address of a table, block or page.
const ADDRESS: u64 = ((1 << 48) - 1) & !((1 << PAGE_SHIFT) - 1);

/// SCTLR_EL1: MMU, data cache and instruction cache on.
pub(super) const MMU: u64 = 1 << 0;
pub(super) const DATA_CACHE: u64 = 1 << 2;
pub(super) const INSTRUCTION_CACHE: u64 = 1 << 12;

/// MAIR_EL1: Device-nGnRnE, and normal write-back memory that is allocated on read and write.
const DEVICE: u8 = 0x00;
const WRITE_BACK: u8 = 0xff;

/// The registers of the translation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Translation {
    pub(super) table: u64,
    pub(super) control: u64,
    pub(super) attributes: u64,
}

/// The kind of memory at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Normal memory, write-back.
    Cached,
    /// A device.
    Device,
}

/// A finished walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) memory: Memory,
    /// The addresses of the descriptors that were read.
    pub(super) descriptors: Vec<u64>,
}

impl Translation {
    /// Looks up `address`; `None` if the tables do not map it to itself in a known way.
    pub(super) fn walk(&self, address: u64, lines: &Lines) -> Option<Walk> {
        let bits = 64 - (self.control & 0x3f) as u32;
        // TCR_EL1.TG0: 4 KiB. IRGN0 and ORGN0: the walker reads through the caches.
        let is_known = self.control >> 14 & 3 == 0 && self.control >> 8 & 0xf == 0b0101;
        if !is_known || !(25..=48).contains(&bits) || address >> bits != 0 {
            return None;
        }
        let levels = (bits - PAGE_SHIFT).div_ceil(LEVEL_SHIFT);
        let mut table = self.table & ADDRESS | self.table & 0xfc0;
        let mut descriptors = Vec::new();
        for level in LAST_LEVEL + 1 - levels..=LAST_LEVEL {
            let shift = PAGE_SHIFT + LEVEL_SHIFT * (LAST_LEVEL - level);
            let index = address >> shift & ((1 << LEVEL_SHIFT) - 1);
            let place = table + index * DESCRIPTOR;
            descriptors.push(place);
            let descriptor = lines.value(place, DESCRIPTOR)?;
            match (descriptor & 3, level) {
                (3, 0..LAST_LEVEL) => table = descriptor & ADDRESS,
                (1, 1..LAST_LEVEL) | (3, LAST_LEVEL) => {
                    let offset = (1 << shift) - 1;
                    let is_identity = descriptor & ADDRESS & !offset == address & !offset;
                    let attribute = self.attributes >> (8 * (descriptor >> 2 & 7));
                    let memory = match attribute as u8 {
                        DEVICE => Memory::Device,
                        WRITE_BACK => Memory::Cached,
                        _ => return None,
                    };
                    return is_identity.then_some(Walk {
                        memory,
                        descriptors,
                    });
                }
                _ => return None,
            }
        }
        None
    }
}

/// Descriptors that were written while the MMU was on, and are not yet visible to the walker.
#[derive(Debug, Default)]
pub(super) struct NewDescriptors(HashMap<u64, Progress>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Written,
    /// A `dsb` has completed the store.
    Completed,
}

impl NewDescriptors {
    pub(super) fn write(&mut self, address: u64) {
        self.0.insert(address, Progress::Written);
    }

    /// A `dsb` that waits for stores.
    pub(super) fn complete(&mut self) {
        for progress in self.0.values_mut() {
            *progress = Progress::Completed;
        }
    }

    pub(super) fn synchronize(&mut self) {
        self.0.retain(|_, progress| *progress == Progress::Written);
    }

    pub(super) fn has(&self, address: u64) -> bool {
        self.0.contains_key(&address)
    }
}
