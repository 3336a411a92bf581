// SPDX-License-Identifier: MIT OR Apache-2.0

//! The number of instructions that the loader executes.

use std::cmp::Ordering;

use super::BenchError;
use crate::harness::machine::Machine;
use crate::harness::report::Report;

/// Runs stop as soon as the lowest count has been seen this often.
const AGREEING: u32 = 3;
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
    for _run in 0..MOST_RUNS {
        let report = Report::parse(&machine.start()?.wait_for_exit()?.serial)?;
        // One instruction is one nanosecond of the counter's time.
        let count = report.number("counter")? * 1_000_000_000 / report.number("frequency")?.max(1);
        match count.cmp(&least) {
            Ordering::Less => (least, seen) = (count, 1),
            Ordering::Equal => seen += 1,
            Ordering::Greater => {}
        }
        if seen == AGREEING {
            break;
        }
    }
    Ok(least)
}
