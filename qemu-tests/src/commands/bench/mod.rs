// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench`.

mod profile;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use imagegen::disk::DEFAULT_ARGS;
use serde::Serialize;

use qemu_tests::bench;
use qemu_tests::build::{self, LoaderBuild, read_elf};
use qemu_tests::demo::{Demo, Parts};
use qemu_tests::firmware::{self, Cost};
use qemu_tests::machine::{Bus, Disk, Machine};
use qemu_tests::payload::Payload;
use qemu_tests::setup::{self, Purpose};
use qemu_tests::{output, paths};

/// Measure what a boot costs, against its budgets: a table, and target/bench.json
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print the JSON instead of the table
    #[arg(long)]
    json: bool,

    /// Show where the loader's instructions go instead, by symbol
    #[arg(long)]
    profile: bool,
}

/// One figure.
#[derive(Serialize)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    value: u64,
    /// The budget.
    limit: u64,
    /// Whether the limit is the least that is good, instead of the most.
    at_least: bool,
    within: bool,
}

impl Figure {
    fn at_most(name: &'static str, unit: &'static str, value: u64, limit: u64) -> Self {
        Self {
            name,
            unit,
            value,
            limit,
            at_least: false,
            within: value <= limit,
        }
    }

    fn at_least(name: &'static str, unit: &'static str, value: u64, limit: u64) -> Self {
        Self {
            name,
            unit,
            value,
            limit,
            at_least: true,
            within: value >= limit,
        }
    }
}

/// How much more memory Linux has with the packed device tree than without the loader, in kB.
const GAIN: u64 = 976;

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.profile {
        setup::ensure(Purpose::Build)?;
        return profile::main(arguments.json);
    }
    setup::ensure(Purpose::Boot)?;
    let figures = measure()?;
    let json = serde_json::to_string_pretty(&figures)?;
    let path = paths::target().join("bench.json");
    output::write_whole(&path, json.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    if arguments.json {
        println!("{json}");
    } else {
        for figure in &figures {
            let bound = if figure.at_least {
                "at least"
            } else {
                "at most "
            };
            let verdict = if figure.within { "" } else { "  OVER BUDGET" };
            println!(
                "{:52}{:>9} {:6} {bound} {:>7}{verdict}",
                figure.name, figure.value, figure.unit, figure.limit
            );
        }
    }
    let within = figures.iter().all(|figure| figure.within);
    Ok(if within {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn measure() -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = folder.path();
    let loader = build::loader(
        &LoaderBuild::default(),
        &paths::target().join("little-loader"),
    )?;
    let image = folder.join("payload.img");
    build::payload(&image)?;
    let payload = Payload::read(&image)?;

    let instructions = bench::instructions(&loader.elf, payload.bytes(), folder)?;
    let last = bench::accesses(&loader.elf, payload.bytes(), Bus::Mmio, folder)?;
    let first = bench::accesses(&loader.elf, payload.bytes(), Bus::MmioAt(0), folder)?;
    let size = read_elf(&loader.elf)?.loaded();
    let demo = Demo::make(&Parts::default())?;
    let (memory, direct_memory) = memory(&loader.elf, &demo)?;
    let (pack, apply) = firmware::measure(&demo.kernel, folder)?;
    let milliseconds = |cost: Cost| cost.time.as_millis().try_into().unwrap_or(u64::MAX);
    Ok(vec![
        Figure::at_most(
            "instructions from reset to a tiny kernel",
            "",
            instructions,
            400_000,
        ),
        Figure::at_most(
            "MMIO accesses, disk on the last transport",
            "",
            last.others,
            60,
        ),
        Figure::at_most(
            "MMIO accesses, disk on the first transport",
            "",
            first.others,
            130,
        ),
        Figure::at_most("bytes printed", "bytes", last.printed, 250),
        Figure::at_most("loaded size of the ELF", "bytes", size, 48 << 10),
        Figure::at_least(
            "MemTotal of Debian in 110 MiB (directly: 976 less)",
            "kB",
            memory,
            direct_memory + GAIN,
        ),
        Figure::at_most(
            "imagegen pack, Debian's kernel",
            "ms",
            milliseconds(pack),
            1000,
        ),
        Figure::at_most(
            "imagegen apply, that archive",
            "ms",
            milliseconds(apply),
            120,
        ),
        Figure::at_most(
            "peak memory of imagegen pack",
            "KiB",
            pack.memory_kib,
            96 << 10,
        ),
        Figure::at_most(
            "peak memory of imagegen apply",
            "KiB",
            apply.memory_kib,
            96 << 10,
        ),
    ])
}

/// What Linux has of 110 MiB, started by the loader and by QEMU itself.
///
/// Debian's kernel sets 64 MiB aside for devices if it finds them in one piece, as it does with the loader, which puts
/// everything at the start of RAM; too little is left then to get to the shell. QEMU puts the initrd in the middle.
fn memory(loader: &Path, demo: &Demo) -> Result<(u64, u64)> {
    let disk = Disk::new(&demo.image).snapshot();
    let guest = |kernel: &Path, append: &str| {
        let machine = Machine::new(kernel).memory_mib(110);
        machine.disk(disk.clone()).append(append)
    };
    let loaded = guest(loader, "cma=0");
    let mut direct = guest(
        &demo.kernel,
        &format!("root=/dev/vda1 {DEFAULT_ARGS} cma=0"),
    );
    if let Some(initrd) = &demo.initrd {
        direct = direct.initrd(initrd);
    }
    Ok((bench::memory_total(&loaded)?, bench::memory_total(&direct)?))
}
