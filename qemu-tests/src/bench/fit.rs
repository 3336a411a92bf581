// SPDX-License-Identifier: MIT OR Apache-2.0

//! The least-squares line through measurements, and their deviation from it.

use serde::Serialize;

/// A cost is flat if its spread is below this fraction of its lowest value.
const FLAT: f64 = 0.03;

/// Measurements are linear if each deviates from the line by less than this fraction of itself.
const LINEAR: f64 = 0.05;

/// The line through measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The cost at 0.
    pub base: f64,
    /// The cost of each additional unit.
    pub slope: f64,
    /// The largest deviation of a measurement from the line, as a fraction of the measurement.
    pub deviation: f64,
    /// The difference between the highest and the lowest cost, as a fraction of the lowest.
    pub spread: f64,
}

/// The kind of growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// The cost does not depend on the input.
    Flat,
    /// Each additional unit costs the same.
    Linear,
    /// Neither flat nor linear.
    Other,
}

impl Line {
    /// Returns the least-squares line through `points`: at least two, with different x values.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Self {
        let mean = |of: fn(&(f64, f64)) -> f64| {
            #[expect(clippy::cast_precision_loss, reason = "there are few points")]
            let count = points.len() as f64;
            points.iter().map(of).sum::<f64>() / count
        };
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let products: f64 = points
            .iter()
            .map(|point| (point.0 - x) * (point.1 - y))
            .sum();
        let slope = products / squares;
        let base = y - slope * x;
        let deviations = points
            .iter()
            .map(|point| ((base + slope * point.0 - point.1) / point.1).abs());
        let costs = || points.iter().map(|point| point.1);
        let (least, most) = (
            costs().fold(f64::INFINITY, f64::min),
            costs().fold(0.0, f64::max),
        );
        Self {
            base,
            slope,
            deviation: deviations.fold(0.0, f64::max),
            spread: (most - least) / least,
        }
    }

    /// Classifies the measurements.
    #[must_use]
    pub fn growth(&self) -> Growth {
        if self.spread < FLAT {
            Growth::Flat
        } else if self.deviation < LINEAR {
            Growth::Linear
        } else {
            Growth::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found() {
        let line = Line::through(&[(1.0, 12.0), (10.0, 30.0), (100.0, 210.0)]);
        assert!((line.base - 10.0).abs() < 1e-9 && (line.slope - 2.0).abs() < 1e-9);
        assert!(line.deviation < 1e-9);
        assert_eq!(line.growth(), Growth::Linear);
    }

    #[test]
    fn squares_are_no_line_and_noise_is_flat() {
        let squares: Vec<_> = (1..9)
            .map(f64::from)
            .map(|x| (x, 100.0 + x * x * 10.0))
            .collect();
        assert_eq!(Line::through(&squares).growth(), Growth::Other);
        let flat = Line::through(&[(1.0, 1000.0), (2.0, 1004.0), (9.0, 1001.0)]);
        assert_eq!(flat.growth(), Growth::Flat);
    }
}
