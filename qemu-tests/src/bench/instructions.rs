// SPDX-License-Identifier: MIT OR Apache-2.0

//! The number of instructions that the loader executes.

use std::cmp::Ordering;

use super::BenchError;
use crate::harness::machine::Machine;
use crate::harness::report::Report;

/// Runs stop as soon as the lowest count has been seen this often, but not before
/// [`FEWEST_RUNS`]: on a busy host several runs in a row can wait for the disk equally long.
const AGREEING: u32 = 3;
/// The minimum number of runs.
const FEWEST_RUNS: u32 = 12;
/// The maximum number of measurements to find a count within a limit.
const MOST_MEASUREMENTS: u32 = 10;
/// The maximum number of runs.
const MOST_RUNS: u32 = 100;

/// Counts the instructions from reset to the payload's first on `machine`. Uses the lowest of
/// several runs, because the number of times that the loader polls the disk depends on the host.
///
/// # Errors
/// When a run fails.
pub fn instructions(machine: &Machine) -> Result<u64, BenchError> {
    let machine = machine.clone().count_instructions();
    let (mut least, mut seen) = (u64::MAX, 0);
    for run in 1..=MOST_RUNS {
        let report = Report::parse(&machine.start()?.wait_for_exit()?.serial)?;
        // One instruction is one nanosecond of the counter's time.
        let count = report.number("counter")? * 1_000_000_000 / report.number("frequency")?.max(1);
        match count.cmp(&least) {
            Ordering::Less => (least, seen) = (count, 1),
            Ordering::Equal => seen += 1,
            Ordering::Greater => {}
        }
        if seen >= AGREEING && run >= FEWEST_RUNS {
            break;
        }
    }
    Ok(least)
}

/// Counts like [`instructions`], and again if the count is above `limit`: waiting for the disk only
/// adds to it, so a lower count is the true one.
///
/// # Errors
/// When a run fails.
pub fn instructions_within(machine: &Machine, limit: u64) -> Result<u64, BenchError> {
    let mut least = u64::MAX;
    for _measurement in 0..MOST_MEASUREMENTS {
        least = least.min(instructions(machine)?);
        if least <= limit {
            break;
        }
    }
    Ok(least)
}
