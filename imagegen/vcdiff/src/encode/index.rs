// SPDX-License-Identifier: MIT OR Apache-2.0

use super::common::eight;

/// The places that are kept of those with the same hash.
const WAYS: usize = 4;

/// Finds places of the whole source by the bytes they start with.
pub(super) struct SourceIndex {
    /// Each place as its offset divided by `step`, plus 1; 0 is empty. The latest is first.
    buckets: Vec<[u32; WAYS]>,
    /// Every how many bytes a place is kept.
    step: usize,
    shift: u32,
}

impl SourceIndex {
    /// Indexes a source in at most `memory` bytes. The less memory, the fewer places are kept.
    pub(super) fn new(source: &[u8], memory: usize) -> Self {
        let most = (memory / size_of::<u32>()).max(WAYS);
        // The largest power of two that fits.
        let most = 1 << most.ilog2();
        let step = source.len().div_ceil(most).max(1);
        let slots = source
            .len()
            .div_ceil(step)
            .next_power_of_two()
            .clamp(WAYS, most);
        let count = slots / WAYS;
        let mut index = Self {
            buckets: vec![[0; WAYS]; count],
            step,
            shift: u64::BITS - count.ilog2(),
        };
        index.fill(source);
        index
    }

    fn fill(&mut self, source: &[u8]) {
        let mut previous = None;
        for (number, at) in (1..).zip((0..source.len()).step_by(self.step)) {
            let seed = eight(source, at);
            // A run of one byte would leave no room for other places.
            if let Some(seed) = seed.filter(|_| seed != previous) {
                let bucket = self.bucket(seed);
                let places = &mut self.buckets[bucket];
                places.rotate_right(1);
                places[0] = number;
            }
            previous = seed;
        }
    }

    #[inline]
    fn bucket(&self, seed: u64) -> usize {
        let hash = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash.checked_shr(self.shift).unwrap_or(0) as usize
    }

    /// The offsets of places that may start with `seed`.
    #[inline]
    pub(super) fn places(&self, seed: u64) -> impl Iterator<Item = usize> + use<> {
        let step = self.step;
        let places = self.buckets[self.bucket(seed)];
        let found = places.into_iter().take_while(|place| *place != 0);
        found.map(move |place| (place as usize - 1) * step)
    }
}
