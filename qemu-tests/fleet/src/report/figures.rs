// SPDX-License-Identifier: MIT OR Apache-2.0

//! The charts of the report.

use super::chart::{Chart, Ink, Series};
use super::history::{Curves, Point};
use crate::totals::{duration, grouped};

/// Returns the charts of `curves`, with the empty ones.
pub(super) fn figures(curves: &Curves) -> [Chart; 6] {
    [
        Chart {
            title: "Boots over time",
            axes: ["time since the start", "guests"],
            units: [time, count],
            series: vec![
                line("started", Ink::Amber, curves.started.clone()).stairs(),
                line("up", Ink::Blue, curves.up.clone()).stairs(),
            ],
        },
        Chart {
            title: "Time to up by chunk",
            axes: ["first guest of the chunk", "time"],
            units: [count, duration],
            series: vec![
                line(
                    "half of the chunk",
                    Ink::Blue,
                    chunks(curves, |all| all.p50),
                ),
                line("nine tenths", Ink::Green, chunks(curves, |all| all.p90)),
                line(
                    "nearly all (p99)",
                    Ink::Amber,
                    chunks(curves, |all| all.p99),
                ),
            ],
        },
        Chart {
            title: "Memory per guest over count",
            axes: ["running guests", "PSS per guest"],
            units: [count, |mib| format!("{} MB", decimal(mib))],
            series: vec![line("PSS per guest", Ink::Blue, curves.memory.clone())],
        },
        Chart {
            title: "CPU per guest over time",
            axes: ["time since the start", "share of one core"],
            units: [time, |percent| format!("{} %", decimal(percent))],
            series: vec![line("CPU per guest", Ink::Blue, curves.cpu.clone())],
        },
        Chart {
            title: "Updates over time",
            axes: ["time since the start", "guests"],
            units: [time, count],
            series: vec![
                line("trying", Ink::Blue, curves.update(|update| update.trying)).stairs(),
                line(
                    "validated",
                    Ink::Green,
                    curves.update(|update| update.validated),
                )
                .stairs(),
                line(
                    "reverted",
                    Ink::Amber,
                    curves.update(|update| update.reverted),
                )
                .stairs(),
                line("lost", Ink::Red, curves.update(|update| update.lost)).stairs(),
            ],
        },
        Chart {
            title: "Memory of the host",
            axes: ["time since the start", "memory"],
            units: [time, |gib| format!("{} GB", decimal(gib))],
            series: vec![
                line("available", Ink::Green, curves.available.clone()),
                line("PSS of all guests", Ink::Blue, curves.pss.clone()),
            ],
        },
    ]
}

impl Series {
    fn stairs(self) -> Self {
        Self {
            steps: true,
            ..self
        }
    }
}

fn line(name: &'static str, ink: Ink, points: Vec<Point>) -> Series {
    Series {
        name,
        ink,
        points,
        steps: false,
    }
}

fn chunks(curves: &Curves, value: fn(&crate::totals::Percentiles) -> f64) -> Vec<Point> {
    let chunks = curves.chunks.iter();
    chunks
        .map(|chunk| (f64::from(chunk.first), value(&chunk.seconds)))
        .collect()
}

/// Returns a time on an axis: `40 s`, `2:05`.
fn time(seconds: f64) -> String {
    if seconds.abs() < 99.5 {
        format!("{} s", decimal(seconds))
    } else {
        duration(seconds)
    }
}

/// Returns a number of guests; nothing for the fractions at the axis of a small fleet.
fn count(value: f64) -> String {
    if (value - value.round()).abs() > 1e-6 {
        return String::new();
    }
    grouped(&format!("{value:.0}"))
}

/// Returns `value` with three digits, or fewer where the last ones are zeros.
fn decimal(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_short_figures() {
        assert_eq!(decimal(0.25), "0.25");
        assert_eq!(decimal(31.0), "31");
        assert_eq!(decimal(1000.4), "1000");
        assert_eq!(count(1500.0), "1,500");
        assert_eq!(count(0.5), "");
        assert_eq!(time(40.0), "40 s");
        assert_eq!(time(125.0), "2:05");
    }
}
