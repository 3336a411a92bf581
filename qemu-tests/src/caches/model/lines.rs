// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two copies of each byte: the one in the caches and the one in memory, at the point of
//! coherency. Either can be older than the other.

use std::collections::HashMap;

use crate::caches::event::DataCache;

/// The size of a cache line in bytes, on all CPUs that QEMU emulates with a `virt` machine.
pub const LINE: u64 = 64;

/// The copies of one line; each mask has a bit for each byte.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The cached copy may be older: written with the MMU off. With `stale_in_memory` also set, the
    /// value may be lost.
    stale_in_cache: u64,
    /// The copy in memory may be older: written through the caches.
    stale_in_memory: u64,
    /// Invalidated; counts when the next `dsb` has completed.
    invalidating: u64,
    /// Cleaned; counts when the next `dsb` has completed.
    cleaning: u64,
    /// The bytes whose values are in `bytes`.
    known: u64,
    bytes: [u8; LINE as usize],
    /// When it was last written, or its clean was completed.
    changed: u64,
    /// Written with the MMU off, without a barrier since.
    is_unordered: bool,
    is_maintained: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            stale_in_cache: 0,
            stale_in_memory: 0,
            invalidating: 0,
            cleaning: 0,
            known: 0,
            bytes: [0; LINE as usize],
            changed: 0,
            is_unordered: false,
            is_maintained: false,
        }
    }
}

/// The lines that were written since reset. The hypervisor hands over memory clean, and with copies
/// in the caches or without.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<u64, Line>,
    /// Lines with an incomplete clean or invalidation.
    pending: Vec<u64>,
    /// Lines with `is_unordered`.
    unordered: Vec<u64>,
}

/// A reader of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The CPU with caches on, its table walker, or a device, all of which see the caches.
    Cache,
    /// The CPU with its MMU off.
    Memory,
}

/// The reason that a reader can see an old value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// The line was not maintained.
    Unmaintained,
    /// The maintenance was not completed by a `dsb`.
    Incomplete,
}

/// The reason that an operation on a line does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ineffective {
    /// No barrier orders it after a store with the MMU off.
    Unordered,
    /// It discards bytes that memory does not have.
    Discards,
}

/// Splits bytes at line boundaries: the line's number, and the mask of the bytes in it.
fn parts(address: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = address.saturating_add(length);
    let lines = if length == 0 { 0 } else { end.div_ceil(LINE) };
    (address / LINE..lines).map(move |line| {
        let first = address.max(line * LINE) - line * LINE;
        let after = end.min((line + 1) * LINE) - line * LINE;
        (line, (u64::MAX >> (LINE - (after - first))) << first)
    })
}

impl Lines {
    /// Records a store of the CPU through the caches.
    pub(super) fn store_cached(&mut self, address: u64, bytes: &[u8], now: u64) {
        for (number, mask) in parts(address, bytes.len() as u64) {
            let line = self.lines.entry(number).or_default();
            line.write_cached(mask, now);
            line.keep(mask, number, address, bytes);
        }
    }

    /// Records a store of a device, whose values are not known. It goes through the caches.
    pub(super) fn store_by_device(&mut self, address: u64, length: u64, now: u64) {
        for (number, mask) in parts(address, length) {
            let line = self.lines.entry(number).or_default();
            line.write_cached(mask, now);
            line.known &= !mask;
        }
    }

    /// Records a store with the MMU off.
    pub(super) fn store_uncached(&mut self, address: u64, bytes: &[u8], now: u64) {
        for (number, mask) in parts(address, bytes.len() as u64) {
            let line = self.lines.entry(number).or_default();
            line.stale_in_cache |= mask;
            line.invalidating &= !mask;
            line.cleaning &= !mask;
            // A dirty line can be written to memory at any time, over these bytes.
            if line.stale_in_memory != 0 {
                line.stale_in_memory |= mask;
            }
            line.keep(mask, number, address, bytes);
            line.changed = now;
            line.is_unordered = true;
            self.unordered.push(number);
        }
    }

    /// Returns why a reader can see old values of these bytes, `None` if it cannot.
    pub(super) fn stale(&self, address: u64, length: u64, view: View) -> Option<Stale> {
        parts(address, length).find_map(|(number, mask)| {
            let line = self.lines.get(&number)?;
            let (stale, pending) = match view {
                View::Cache => (line.stale_in_cache, line.invalidating),
                View::Memory => (line.stale_in_memory, line.cleaning),
            };
            match (stale & mask & !pending, stale & mask) {
                (0, 0) => None,
                (0, _) => Some(Stale::Incomplete),
                _ => Some(Stale::Unmaintained),
            }
        })
    }

    /// Records the maintenance of the line at `address`.
    pub(super) fn maintain(
        &mut self,
        address: u64,
        operation: DataCache,
    ) -> Result<(), Ineffective> {
        let number = address / LINE;
        let line = self.lines.entry(number).or_default();
        line.is_maintained = true;
        let only_in_cache = line.stale_in_memory & !line.stale_in_cache;
        let only_in_memory = line.stale_in_cache & !line.stale_in_memory;
        self.pending.push(number);
        if line.is_unordered {
            return Err(Ineffective::Unordered);
        }
        if operation.cleans() {
            line.cleaning |= only_in_cache;
        }
        if operation.invalidates() {
            line.invalidating |= only_in_memory;
            if !operation.cleans() && only_in_cache != 0 {
                line.stale_in_cache |= only_in_cache;
                return Err(Ineffective::Discards);
            }
        }
        Ok(())
    }

    /// Completes the maintenance so far.
    pub(super) fn complete(&mut self, now: u64) {
        for number in self.pending.drain(..) {
            if let Some(line) = self.lines.get_mut(&number) {
                if line.cleaning != 0 {
                    line.changed = now;
                }
                line.stale_in_memory &= !line.cleaning;
                line.stale_in_cache &= !line.invalidating;
                (line.cleaning, line.invalidating) = (0, 0);
            }
        }
    }

    /// Orders the stores with the MMU off before later maintenance.
    pub(super) fn order(&mut self) {
        for number in self.unordered.drain(..) {
            if let Some(line) = self.lines.get_mut(&number) {
                line.is_unordered = false;
            }
        }
    }

    /// Returns the value of `length` bytes, at most 8, little-endian, if all of them are known.
    pub(super) fn value(&self, address: u64, length: u64) -> Option<u64> {
        let mut value = [0; 8];
        for (offset, byte) in (0..length).zip(&mut value) {
            let address = address + offset;
            let line = self.lines.get(&(address / LINE))?;
            let place = address % LINE;
            if line.known >> place & 1 == 0 {
                return None;
            }
            *byte = line.bytes[place as usize];
        }
        Some(u64::from_le_bytes(value))
    }

    /// Returns the written lines' addresses, and when each last changed.
    pub(super) fn written(&self) -> impl Iterator<Item = (u64, u64)> {
        let written = self.lines.iter().filter(|(_, line)| line.changed != 0);
        written.map(|(number, line)| (number * LINE, line.changed))
    }

    /// Returns whether all lines of these bytes were maintained.
    pub(super) fn is_maintained(&self, address: u64, length: u64) -> bool {
        parts(address, length).all(|(number, _)| {
            let line = self.lines.get(&number);
            line.is_some_and(|line| line.is_maintained)
        })
    }
}

impl Line {
    fn write_cached(&mut self, mask: u64, now: u64) {
        self.stale_in_cache &= !mask;
        self.stale_in_memory |= mask;
        self.cleaning &= !mask;
        self.invalidating &= !mask;
        // The line is dirty now. Its other bytes that are stale in the cache will be written over
        // those in memory.
        self.stale_in_memory |= self.stale_in_cache;
        self.invalidating &= !self.stale_in_cache;
        self.changed = now;
    }

    fn keep(&mut self, mask: u64, number: u64, address: u64, bytes: &[u8]) {
        self.known |= mask;
        for (offset, byte) in bytes.iter().enumerate() {
            let address = address + offset as u64;
            if address / LINE == number {
                self.bytes[(address % LINE) as usize] = *byte;
            }
        }
    }
}
