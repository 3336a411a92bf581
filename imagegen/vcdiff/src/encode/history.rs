// SPDX-License-Identifier: MIT OR Apache-2.0

use super::common::four;

/// No place.
const NONE: u32 = u32::MAX;

/// Finds earlier places of a target window by the bytes they start with.
pub(super) struct History {
    /// The latest place of each hash.
    latest: Vec<u32>,
    /// The place before each place with the same hash.
    previous: Vec<u32>,
    shift: u32,
}

impl History {
    /// A history for windows of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        let slots = longest.next_power_of_two().clamp(1 << 8, 1 << 18);
        Self {
            latest: vec![NONE; slots],
            previous: Vec::with_capacity(longest),
            shift: u32::BITS - slots.ilog2(),
        }
    }

    /// Forgets the window.
    pub(super) fn clear(&mut self) {
        self.latest.fill(NONE);
        self.previous.clear();
    }

    #[inline]
    fn slot(&self, seed: u32) -> usize {
        (seed.wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    /// Adds all places before `end`, or those of the last `most` bytes among them.
    #[inline]
    pub(super) fn extend(&mut self, window: &[u8], end: usize, most: usize) {
        let start = self.previous.len();
        let first = end.saturating_sub(most).max(start);
        self.previous.resize(first, NONE);
        for at in first..end {
            let mut before = NONE;
            if let Some(seed) = four(window, at) {
                let slot = self.slot(seed);
                before = std::mem::replace(&mut self.latest[slot], at as u32);
            }
            self.previous.push(before);
        }
    }

    /// The places that may start with `seed`, latest first.
    #[inline]
    pub(super) fn places(&self, seed: u32) -> impl Iterator<Item = usize> {
        let place = |place: u32| (place != NONE).then_some(place as usize);
        let latest = place(self.latest[self.slot(seed)]);
        std::iter::successors(latest, move |at| place(self.previous[*at]))
    }
}
