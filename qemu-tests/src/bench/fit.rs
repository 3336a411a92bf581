// SPDX-License-Identifier: MIT OR Apache-2.0

//! The straight line through measurements, and how far they are from it.

use serde::Serialize;

/// A cost that changes by less than this part of itself is flat.
const FLAT: f64 = 0.03;

/// Measurements that are off the line by at most this part of themselves are linear.
const LINEAR: f64 = 0.05;

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The cost at 0.
    pub base: f64,
    /// The cost of one more.
    pub slope: f64,
    /// The farthest that a measurement is from the line, as a part of the measurement.
    pub deviation: f64,
    /// How much the greatest is above the least, as a part of the least.
    pub spread: f64,
}

/// How something grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// It does not.
    Flat,
    /// By the same for each one more.
    Linear,
    /// Otherwise.
    Other,
}

impl Line {
    /// The line with the least squares of distances from `points`, of which there are two at least,
    /// at different places.
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

    /// The measurements.
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
