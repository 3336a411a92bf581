// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --profile`.

use std::process::ExitCode;

use anyhow::Result;

use qemu_tests::bench::profile;
use qemu_tests::harness::machine::Bus;

use super::growth;
use super::workbench::Bench;

/// The number of runs, of which the one with the fewest instructions is shown.
const RUNS: u32 = 5;

/// Symbols with less than 1/`LEAST` of all instructions are summed up as others.
const LEAST: u64 = 1000;

/// The number of stretches shown.
const STRETCHES: usize = 20;

pub(super) fn main(bench: &Bench, with: Option<&str>, json: bool) -> Result<ExitCode> {
    let (machine, loader) = match with {
        Some(with) => growth::machine(bench, with)?,
        None => (bench.machine(Bus::Mmio)?, bench.loader.elf.clone()),
    };
    let profile = profile::measure(&machine, &loader, RUNS)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&profile)?);
        return Ok(ExitCode::SUCCESS);
    }
    let total = profile.instructions;
    let percent = |part: u64| part as f64 * 100.0 / total.max(1) as f64;
    println!("instructions      %  with called  entered  symbol");
    let mut rest = 0;
    for share in &profile.symbols {
        if share.instructions * LEAST < total {
            rest += share.instructions;
            continue;
        }
        println!(
            "{:>12}  {:>5.1}  {:>11}  {:>7}  {}",
            share.instructions,
            percent(share.instructions),
            share.with_called,
            share.entered,
            share.name
        );
    }
    println!("{rest:>12}  {:>5.1}{:>24}others", percent(rest), "");
    println!(
        "{total:>12}  100.0{:>24}all, from reset to the kernel's first",
        ""
    );
    println!("\nMost executed stretches of code:");
    println!("instructions      %  = times x length  at        in");
    for stretch in profile.stretches.iter().take(STRETCHES) {
        println!(
            "{:>12}  {:>5.1}  {:>7} x {:<6} {:#x}  {}",
            stretch.instructions(),
            percent(stretch.instructions()),
            stretch.times,
            stretch.length,
            stretch.start,
            stretch.name
        );
    }
    Ok(ExitCode::SUCCESS)
}
