// SPDX-License-Identifier: MIT OR Apache-2.0

//! Totals and percentiles of a fleet, and the units in which they are shown.

use crate::model::{Guest, State, Status};

/// The middle and the upper end of a set of measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// Half of the values are at most this.
    pub p50: f64,
    /// Nine tenths of the values are at most this.
    pub p90: f64,
    /// Ninety-nine hundredths of the values are at most this.
    pub p99: f64,
}

impl Percentiles {
    /// Returns the percentiles of `values` by the nearest-rank rule, so that each is a value that was
    /// measured; `None` without values. Values that are not numbers are left out.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100);
            sorted.get(index.saturating_sub(1)).copied()
        };
        Some(Self {
            p50: rank(50)?,
            p90: rank(90)?,
            p99: rank(99)?,
        })
    }
}

/// A fleet in a few numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Guests per state, in the order of [`State::ALL`].
    counts: [usize; State::ALL.len()],
    /// Seconds that the guests took to come up.
    pub boot_seconds: Option<Percentiles>,
    /// Proportional set sizes in KiB.
    pub pss: Option<Percentiles>,
    /// The sum of the proportional set sizes in KiB, of the guests that were sampled.
    pub pss_total: u64,
    /// CPU time of all guests, as a number of cores.
    pub cpu: f64,
}

impl Summary {
    /// Summarises `status`.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let guests = &status.guests;
        let pss = || guests.iter().filter_map(|guest| Some(guest.memory?.pss));
        let mut counts = [0; State::ALL.len()];
        for guest in guests {
            counts[guest.state as usize] += 1;
        }
        Self {
            counts,
            boot_seconds: Percentiles::of(guests.iter().filter_map(|guest| guest.boot_seconds)),
            pss: Percentiles::of(pss().map(float)),
            pss_total: pss().sum(),
            cpu: sum(guests.iter().filter_map(|guest| guest.cpu)),
        }
    }

    /// Returns how many guests are in `state`.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.counts[state as usize]
    }

    /// Returns the states that at least one guest is in, with the number of guests.
    pub fn present(&self) -> impl Iterator<Item = (State, usize)> + '_ {
        let counted = State::ALL.into_iter().zip(self.counts);
        counted.filter(|(_, count)| *count > 0)
    }
}

/// Returns the guests that somebody has to look at: fatal, looping and gone ones.
pub fn broken(status: &Status) -> impl Iterator<Item = &Guest> {
    let guests = status.guests.iter();
    guests.filter(|guest| matches!(guest.state, State::Fatal | State::Looping | State::Gone))
}

/// Returns the sum of `values`, 0 without any; the standard one is then -0.
#[must_use]
pub fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |sum, value| sum + value)
}

/// Returns `value` as a floating-point number; exact up to 2^53.
#[must_use]
pub fn float(value: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let float = value as f64;
    float
}

/// Returns the whole part of `value`, 0 below zero and for what is not a number.
#[must_use]
pub fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates"
    )]
    let whole = value.floor() as u64;
    whole
}

/// Returns an amount of memory for people: `31 MB`, `4.5 GB`, in powers of 1,024.
#[must_use]
pub fn memory(kib: f64) -> String {
    let mib = kib / 1024.0;
    if mib >= 1024.0 * 1024.0 {
        format!("{:.1} TB", mib / 1024.0 / 1024.0)
    } else if mib >= 1024.0 {
        format!("{:.1} GB", mib / 1024.0)
    } else if mib >= 10.0 {
        format!("{mib:.0} MB")
    } else {
        format!("{mib:.1} MB")
    }
}

/// Returns a duration for people: `4.6 s`, `2:05`, `1:02:03`, `3 d 04 h`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 99.95 {
        return format!("{seconds:.1} s");
    }
    let whole = whole(seconds.round());
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", whole % 60),
        1..100 => format!("{hours}:{minutes:02}:{:02}", whole % 60),
        _ => format!("{} d {:02} h", hours / 24, hours % 24),
    }
}

/// Returns `count` with a comma after each three digits.
#[must_use]
pub fn grouped(count: &impl ToString) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns `text` with each control character replaced by a space, so that a guest's console cannot
/// steer the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    let replaced = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Memory;

    #[test]
    fn percentiles_are_measured_values() {
        let percentiles = Percentiles::of((1..=200).map(f64::from)).unwrap();
        assert_eq!(percentiles.p50, 100.0);
        assert_eq!(percentiles.p90, 180.0);
        assert_eq!(percentiles.p99, 198.0);
        assert_eq!(Percentiles::of([]), None);
        assert_eq!(Percentiles::of([f64::NAN]), None);
        assert_eq!(Percentiles::of([7.0]).unwrap().p99, 7.0);
    }

    proptest! {
        #[test]
        fn percentiles_are_in_order(values in prop::collection::vec(any::<f64>(), 1..50)) {
            if let Some(percentiles) = Percentiles::of(values) {
                prop_assert!(percentiles.p50 <= percentiles.p90);
                prop_assert!(percentiles.p90 <= percentiles.p99);
            }
        }
    }

    #[test]
    fn a_summary_counts_states_and_adds_memory() {
        let guest = |state, pss| Guest {
            state,
            memory: Some(Memory {
                pss,
                ..Memory::default()
            }),
            cpu: Some(0.25),
            ..Guest::default()
        };
        let status = Status {
            guests: vec![
                guest(State::Up, 10),
                guest(State::Up, 20),
                guest(State::Gone, 30),
            ],
            ..Status::default()
        };
        let summary = Summary::of(&status);
        assert_eq!(summary.count(State::Up), 2);
        assert_eq!(
            summary.present().collect::<Vec<_>>(),
            [(State::Up, 2), (State::Gone, 1)]
        );
        assert_eq!(summary.pss_total, 60);
        assert_eq!(summary.cpu, 0.75);
        assert_eq!(summary.boot_seconds, None);
        assert_eq!(broken(&status).count(), 1);
        let nothing = Summary::of(&Status::default());
        assert_eq!(format!("{:.1}", nothing.cpu), "0.0");
        assert!(
            State::ALL
                .iter()
                .enumerate()
                .all(|(index, state)| *state as usize == index)
        );
    }

    #[test]
    fn units_are_readable() {
        assert_eq!(memory(31.4 * 1024.0), "31 MB");
        assert_eq!(memory(1.26 * 1024.0), "1.3 MB");
        assert_eq!(memory(4.5 * 1024.0 * 1024.0), "4.5 GB");
        assert_eq!(memory(2.0 * 1024.0 * 1024.0 * 1024.0), "2.0 TB");
        assert_eq!(duration(4.61), "4.6 s");
        assert_eq!(duration(99.96), "1:40");
        assert_eq!(duration(3723.0), "1:02:03");
        assert_eq!(duration(100.0 * 3600.0), "4 d 04 h");
        assert_eq!(duration(f64::NAN), "0.0 s");
        assert_eq!(grouped(&5), "5");
        assert_eq!(grouped(&1_234_567), "1,234,567");
        assert_eq!(printable("a\u{1b}[2Jb"), "a [2Jb");
    }
}
