// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sums and percentiles.

/// A summary of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// How many values there are.
    pub count: usize,
    /// Their sum.
    pub sum: f64,
    /// The value that half of them do not exceed.
    pub median: f64,
    /// The value that 95 % of them do not exceed.
    pub p95: f64,
    /// The largest.
    pub largest: f64,
}

impl Percentiles {
    /// Summarises `values`; there must be one.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        // The nearest rank.
        let at =
            |percent: usize| values.get((values.len() * percent).div_ceil(100).checked_sub(1)?);
        Some(Self {
            count: values.len(),
            sum: values.iter().sum(),
            median: *at(50)?,
            p95: *at(95)?,
            largest: *values.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        assert_eq!(Percentiles::of([].into_iter()), None);
        let one = Percentiles::of([3.0].into_iter()).unwrap();
        assert_eq!((one.median, one.p95, one.largest), (3.0, 3.0, 3.0));
        let many = Percentiles::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!((many.median, many.p95, many.largest), (50.0, 95.0, 100.0));
        assert_eq!((many.count, many.sum), (100, 5050.0));
    }
}
