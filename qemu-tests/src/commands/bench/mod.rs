// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench`.

mod against;
mod growth;
mod measure;
mod profile;
mod size;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tempfile::TempDir;

use qemu_tests::bench::budget::{self, Row};
use qemu_tests::bench::{disks, host, page, svg};
use qemu_tests::build::{self, Loader, LoaderBuild};
use qemu_tests::harness::machine::{Bus, Machine};
use qemu_tests::harness::payload::Payload;
use qemu_tests::setup::{self, Purpose};
use qemu_tests::{output, paths};

/// Measure what a boot costs, against its limits: a table, and target/bench.json
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,

    /// Only measure what does not depend on the host, and exit with status 1 if a limit is passed
    #[arg(long)]
    check: bool,

    /// Show where the loader's instructions go instead, by symbol
    #[arg(long, conflicts_with = "check")]
    profile: bool,

    /// A boot with one thing made larger: kernel=MB, environment=KIB, nodes=COUNT (of the device
    /// tree) or disks=COUNT
    #[arg(long, requires = "profile", value_name = "WHAT=NUMBER")]
    with: Option<String>,

    /// Show how instructions and MMIO accesses grow with kernel, environment, device tree and
    /// disks instead
    #[arg(long, conflicts_with_all = ["check", "profile"])]
    growth: bool,

    /// Boot by QEMU's -kernel, U-Boot and EDK2 as well, side by side, instead
    #[arg(long, conflicts_with_all = ["check", "profile", "growth"])]
    against: bool,

    /// Show what the loader's bytes are instead, by source file
    #[arg(long, conflicts_with_all = ["check", "profile", "growth", "against"])]
    size: bool,

    /// Put what was measured into docs/src/benchmarks.md as well
    #[arg(long, conflicts_with_all = ["check", "profile"])]
    draw: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.profile {
        // dtc changes device trees, and is among what tests need.
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
    setup::ensure(Purpose::Boot)?;
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
            "error: {failed} of {} figures are beyond their limits",
            rows.len()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts table and picture into the book.
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

/// Writes a picture of the book.
fn keep_image(name: &str, picture: &str) -> Result<()> {
    let path = page::image(name);
    output::write_whole(&path, picture.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes `value` into the target folder and gives back the text.
fn keep(name: &str, value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(value)?;
    let path = paths::target().join(name);
    output::write_whole(&path, json.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(json)
}

/// The loader as shipped, the test payload, and room for files.
struct Bench {
    loader: Loader,
    payload: Payload,
    folder: TempDir,
}

impl Bench {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let loader = build::loader(
            &LoaderBuild::default(),
            &paths::target().join("little-loader"),
        )?;
        let image = folder.path().join("payload.img");
        build::payload(&image)?;
        let payload = Payload::read(&image)?;
        Ok(Self {
            loader,
            payload,
            folder,
        })
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The machine with the payload on a disk.
    fn machine(&self, bus: Bus) -> Result<Machine> {
        let disk = disks::bootable(self.payload.bytes(), self.folder())?;
        Ok(Machine::new(&self.loader.elf).disk(disk.bus(bus)))
    }
}
