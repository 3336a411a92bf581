// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;

/// The segments that read as zeroes because they were trimmed and have not been written since.
#[derive(Debug, Default)]
pub(super) struct TrimmedSegments {
    /// The first segment of each range, and the segment after its last one. Ranges may overlap.
    ranges: BTreeMap<u64, u64>,
}

impl TrimmedSegments {
    /// Adds the segments from `first` to the one before `end`.
    pub(super) fn insert(&mut self, first: u64, end: u64) {
        let until = self.ranges.entry(first).or_insert(end);
        *until = end.max(*until);
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.ranges
            .range(..=number)
            .any(|(_, until)| number < *until)
    }

    pub(super) fn remove(&mut self, number: u64) {
        let ranges: Vec<_> = self
            .ranges
            .range(..=number)
            .filter(|(_, until)| number < **until)
            .map(|(first, until)| (*first, *until))
            .collect();
        for (first, until) in ranges {
            self.ranges.remove(&first);
            if first < number {
                self.ranges.insert(first, number);
            }
            if number + 1 < until {
                self.insert(number + 1, until);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_ranges_are_the_set_of_their_segments(
            steps in prop::collection::vec((0_u64..40, 0_u64..40, any::<bool>()), 0..30)
        ) {
            let (mut trimmed, mut model) = (TrimmedSegments::default(), BTreeSet::new());
            for (first, length, is_insert) in steps {
                if is_insert {
                    trimmed.insert(first, first + length);
                    model.extend(first..first + length);
                } else {
                    trimmed.remove(first);
                    model.remove(&first);
                }
                for number in 0..90 {
                    prop_assert_eq!(trimmed.contains(number), model.contains(&number));
                }
            }
        }
    }
}
