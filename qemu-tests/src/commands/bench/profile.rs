// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --profile`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use qemu_tests::bench::{self, profile};
use qemu_tests::build::{self, LoaderBuild};
use qemu_tests::machine::Machine;
use qemu_tests::paths;
use qemu_tests::payload::Payload;

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Symbols that take less than one in as many instructions share the last line.
const LEAST: u64 = 1000;

/// How many stretches are shown.
const STRETCHES: usize = 20;

pub(super) fn main(json: bool) -> Result<ExitCode> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let loader = build::loader(
        &LoaderBuild::default(),
        &paths::target().join("little-loader"),
    )?;
    let image = folder.path().join("payload.img");
    build::payload(&image)?;
    let payload = Payload::read(&image)?;
    let disk = bench::disk(payload.bytes(), folder.path())?;
    let machine = Machine::new(&loader.elf).disk(disk);
    let profile = profile::measure(&machine, &loader.elf, LIMIT)?;
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
    println!("\nStretches of code that take the most:");
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
