// SPDX-License-Identifier: MIT OR Apache-2.0

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use qemu_tests::bench::budget::{self, Row};
use qemu_tests::bench::{host, page, svg};
use qemu_tests::setup::{self, Purpose};

use super::results::{keep, keep_image};
use super::workbench::Bench;
use super::{against, exits, fleet, growth, guest_flags, measure, profile, size};

/// Measure the cost of a boot against its limits: prints a table and writes target/bench.json
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,

    /// Measure only figures that do not depend on the host; exit with status 1 if a limit is
    /// exceeded
    #[arg(long)]
    check: bool,

    /// Show the loader's executed instructions by symbol instead
    #[arg(long, conflicts_with = "check")]
    profile: bool,

    /// Profile a boot with one larger input: kernel=MB, environment=KIB, nodes=COUNT (of the device
    /// tree) or disks=COUNT
    #[arg(long, requires = "profile", value_name = "WHAT=NUMBER")]
    with: Option<String>,

    /// Show how instructions and MMIO accesses grow with kernel, environment, device tree and disks
    /// instead
    #[arg(long, conflicts_with_all = ["check", "profile"])]
    growth: bool,

    /// Compare with boots by QEMU's -kernel, U-Boot and EDK2 instead
    #[arg(long, conflicts_with_all = ["check", "profile", "growth"])]
    against: bool,

    /// Show the loader's size by source file instead
    #[arg(long, conflicts_with_all = ["check", "profile", "growth", "against"])]
    size: bool,

    /// Show the exits to KVM by kind instead; the environment variable C_LOADER adds the C loader,
    /// whose ELF it names
    #[arg(long, conflicts_with_all = ["check", "profile", "growth", "against", "size"])]
    exits: bool,

    /// Measure a fleet of Erlang guests instead: so many that boot, and so many clones of a template
    #[arg(long, value_name = "BOOTED,CLONES", num_args = 0..=1, default_missing_value = "40,1000",
          conflicts_with_all = ["check", "profile", "growth", "against", "size", "exits"])]
    fleet: Option<String>,

    /// Measure Erlang guests instead, each without one of the settings for small guests
    #[arg(long,
          conflicts_with_all = ["check", "profile", "growth", "against", "size", "exits", "fleet"])]
    guest_flags: bool,

    /// Also update the tables and pictures of docs/src/benchmarks.md
    #[arg(long, conflicts_with_all = ["check", "profile", "exits", "fleet", "guest_flags"])]
    draw: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.profile {
        // `--with nodes=` needs dtc, one of the programs for tests.
        setup::ensure(match arguments.with {
            Some(_) => Purpose::Test,
            None => Purpose::Build,
        })?;
        let with = arguments.with.as_deref();
        return profile::main(&Bench::new()?, with, arguments.json);
    }
    if arguments.growth {
        setup::ensure(Purpose::Test)?;
        return growth::main(&Bench::new()?, arguments.json, arguments.draw);
    }
    if arguments.against {
        setup::ensure(Purpose::Compare)?;
        return against::main(&Bench::new()?, arguments.json, arguments.draw);
    }
    if arguments.size {
        setup::ensure(Purpose::Build)?;
        return size::main(arguments.json, arguments.draw);
    }
    if let Some(counts) = &arguments.fleet {
        let (booted, clones) = fleet::counts(counts)?;
        return fleet::main(booted, clones, arguments.json);
    }
    if arguments.guest_flags {
        return guest_flags::main(arguments.json);
    }
    setup::ensure(Purpose::KvmHost)?;
    if arguments.exits {
        return exits::main(&Bench::new()?, arguments.json);
    }
    let rows = measure::rows(&Bench::new()?, arguments.check)?;
    let json = keep("bench.json", &rows)?;
    if arguments.json {
        println!("{json}");
    } else {
        print!("{}", budget::table(&rows));
    }
    if arguments.draw {
        draw(&rows)?;
    }
    let failed = rows.iter().filter(|row| row.fails()).count();
    if arguments.check && failed > 0 {
        eprintln!(
            "error: {failed} of {} figures exceed their limits",
            rows.len()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the table and the picture into the book.
fn draw(rows: &[Row]) -> Result<()> {
    let caption = host::describe()?;
    let text = format!(
        "![Bars of each figure as a part of its limit](images/figures.svg)\n\n{caption}\n\n{}",
        budget::markdown(rows)
    );
    page::draw(&page::benchmarks(), "figures", &text)?;
    let panel = budget::panel(rows);
    keep_image("figures.svg", &svg::draw(&caption, &[panel]))
}
