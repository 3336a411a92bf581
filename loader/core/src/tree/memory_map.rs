// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lists of memory regions, and the search for free memory.

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::units::{Addr, Bytes, Region};

/// The maximum number of regions in a [`Regions`]. QEMU's virt machine has one or a few memory
/// nodes and hardly any reservations.
pub const MAX_REGIONS: usize = 32;

/// The device tree has more pieces of memory than a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the device tree lists more than {MAX_REGIONS} separate pieces of memory")]
pub struct TooManyRegions;

/// A list of regions, sorted by address. Regions that touch or overlap are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    list: ArrayVec<Region, MAX_REGIONS>,
}

impl Regions {
    /// Returns the regions in ascending order, with gaps between them.
    #[must_use]
    pub fn as_slice(&self) -> &[Region] {
        &self.list
    }

    /// Adds a region; an empty one changes nothing.
    ///
    /// # Errors
    ///
    /// When the list is full.
    pub fn add(&mut self, region: Region) -> Result<(), TooManyRegions> {
        if region.length() == Bytes(0) {
            return Ok(());
        }
        let first = self.list.partition_point(|old| old.end() < region.start());
        let mut merged = region;
        while let Some(old) = self
            .list
            .get(first)
            .filter(|old| old.start() <= merged.end())
        {
            merged = merged.hull(*old);
            self.list.remove(first);
        }
        self.list
            .try_insert(first, merged)
            .map_err(|_| TooManyRegions)
    }

    /// Returns the sum of all lengths.
    #[must_use]
    pub fn total(&self) -> Bytes {
        Bytes(self.as_slice().iter().map(|region| region.length().0).sum())
    }
}

/// The RAM of the machine, and its reserved regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The RAM.
    pub ram: Regions,
    /// Regions that must not be overwritten: the loader and reservations. They may be outside of
    /// RAM.
    pub reserved: Regions,
}

impl Memory {
    /// Returns the same memory with one more region reserved.
    ///
    /// # Errors
    ///
    /// When the list of reservations is full.
    pub fn without(&self, region: Region) -> Result<Self, TooManyRegions> {
        let mut rest = self.clone();
        rest.reserved.add(region)?;
        Ok(rest)
    }

    /// Whether all of the region is RAM and none of it is reserved.
    #[must_use]
    pub fn is_free(&self, region: Region) -> bool {
        self.ram.as_slice().iter().any(|ram| ram.contains(region))
            && self.in_the_way(region).is_none()
    }

    /// Finds the lowest free region of `length` bytes that starts `offset` bytes after a multiple
    /// of `alignment`, at or above `from`. The multiple itself must be in RAM too, but not
    /// necessarily in the same piece, and may be reserved.
    #[must_use]
    pub fn find(&self, length: Bytes, alignment: u64, offset: Bytes, from: Addr) -> Option<Region> {
        let all = self.ram.as_slice();
        all.iter().find_map(|ram| {
            let mut lowest = ram.start().max(from).0.saturating_sub(offset.0);
            loop {
                let base = lowest.checked_next_multiple_of(alignment)?;
                let candidate = Region::new(Addr(base.checked_add(offset.0)?), length)?;
                if !ram.contains(candidate) {
                    return None;
                }
                // Go on with a higher base: one whose candidate starts after the reservation, or
                // one in RAM.
                let next = match self.in_the_way(candidate) {
                    Some(taken) => taken.end().0.saturating_sub(offset.0),
                    None => match all.iter().find(|piece| piece.end().0 > base) {
                        Some(piece) if piece.start().0 > base => piece.start().0,
                        _ => return Some(candidate),
                    },
                };
                lowest = next.max(base + 1);
            }
        })
    }

    /// Returns the lowest reservation that overlaps the region.
    fn in_the_way(&self, region: Region) -> Option<&Region> {
        self.reserved
            .as_slice()
            .iter()
            .find(|taken| taken.overlaps(region))
    }

    /// Returns the size in bytes of the largest contiguous piece of RAM that is not reserved.
    #[must_use]
    pub fn largest_free(&self) -> Bytes {
        let mut largest = 0;
        for ram in self.ram.as_slice() {
            let mut start = ram.start().0;
            for taken in self
                .reserved
                .as_slice()
                .iter()
                .filter(|taken| taken.overlaps(*ram))
            {
                largest = largest.max(taken.start().0.saturating_sub(start));
                start = start.max(taken.end().0);
            }
            largest = largest.max(ram.end().0.saturating_sub(start));
        }
        Bytes(largest)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn region(start: u64, length: u64) -> Region {
        Region::new(Addr(start), Bytes(length)).unwrap()
    }

    #[test]
    fn a_full_list_says_so() {
        let mut regions = Regions::default();
        for index in 0..MAX_REGIONS as u64 {
            regions.add(region(index * 10, 5)).unwrap();
        }
        assert_eq!(regions.add(region(1000, 5)), Err(TooManyRegions));
        // A region that is merged with others still fits.
        regions.add(region(0, 100)).unwrap();
        assert_eq!(regions.as_slice()[0], region(0, 105));
    }

    proptest! {
        #[test]
        fn regions_are_the_union_of_what_was_added(
            list in proptest::collection::vec((0_u64..2000, 0_u64..300), 0..12),
            probe in 0_u64..2400) {
            let list: Vec<Region> = list
                .into_iter()
                .map(|(start, length)| region(start * 65536, length * 65536))
                .collect();
            let mut regions = Regions::default();
            for piece in &list {
                regions.add(*piece).unwrap();
            }
            let probe = region(probe * 65536, 1);
            let expected = list.iter().any(|piece| piece.overlaps(probe));
            prop_assert_eq!(regions.as_slice().iter().any(|piece| piece.overlaps(probe)), expected);
            prop_assert!(regions.as_slice().windows(2).all(|pair| pair[0].end() < pair[1].start()));
        }
    }
}
