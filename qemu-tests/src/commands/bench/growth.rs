// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench --growth`: the growth of a boot's cost with its inputs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use little_loader_core::units::Bytes;
use serde::Serialize;

use qemu_tests::bench::accesses::accesses;
use qemu_tests::bench::budget::grouped;
use qemu_tests::bench::fit::{Growth, Line};
use qemu_tests::bench::page;
use qemu_tests::bench::profile::{self, InstructionProfile};
use qemu_tests::build::{self, LoaderBuild};
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::tree::Tree;
use qemu_tests::scratch::{KERNEL_A, Scratch};

use super::results::keep;
use super::workbench::Bench;

/// The sizes of kernels, in MB.
const KERNELS: [u32; 4] = [1, 12, 33, 60];
/// The sizes of environments, in KiB.
const ENVIRONMENTS: [u32; 4] = [8, 32, 128, 512];
/// The numbers of nodes added to QEMU's device tree.
const NODES: [u32; 5] = [1, 50, 125, 250, 500];
/// The numbers of disks; only the last one is bootable.
const DISKS: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// The number of runs for a count of instructions by QEMU's log; the lowest count is used.
const LOGGED_RUNS: u32 = 5;
/// A symbol is listed if it executes this many more instructions; waiting for the disk varies by
/// some hundreds.
const GROWN: u64 = 1000;
/// The size of a cache line of QEMU's cortex-a57 in bytes.
const CACHE_LINE: u64 = 64;

/// The figures for each value of one input.
#[derive(Serialize)]
struct Series {
    what: &'static str,
    points: Vec<Point>,
    instructions: Line,
    accesses: Line,
    /// Markdown text that follows the table.
    note: String,
}

#[derive(Serialize)]
struct Point {
    at: u32,
    instructions: u64,
    accesses: u64,
}

pub(super) fn main(bench: &Bench, json: bool, draw: bool) -> Result<ExitCode> {
    let large = large_loader(bench)?;
    let series = [
        kernels(bench)?,
        Series::measure(bench, "environment, KiB", &ENVIRONMENTS, |kib| {
            environment(bench, &large, kib)
        })?,
        Series::measure(bench, "nodes added to the DTB", &NODES, |count| {
            Ok((nodes(bench, count)?, shipped(bench)))
        })?,
        Series::measure(bench, "disks, the last one bootable", &DISKS, |count| {
            Ok((disks(bench, count)?, shipped(bench)))
        })?,
    ];
    let text = keep("bench-growth.json", &series)?;
    let table = markdown(&series);
    if json {
        println!("{text}");
    } else {
        print!("{table}");
    }
    if draw {
        page::draw(&page::benchmarks(), "growth", &table)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a machine with one larger input, given as `kernel=33` (MB), `environment=512` (KiB),
/// `nodes=100` or `disks=4`, and its loader.
pub(super) fn machine(bench: &Bench, with: &str) -> Result<(Machine, PathBuf)> {
    let usage = "expected kernel=MB, environment=KIB, nodes=COUNT or disks=COUNT";
    let (what, number) = with.split_once('=').context(usage)?;
    let number: u32 = number.parse().context(usage)?;
    Ok(match what {
        "kernel" => (kernel(bench, number)?, shipped(bench)),
        "environment" => environment(bench, &large_loader(bench)?, number)?,
        "nodes" => (nodes(bench, number)?, shipped(bench)),
        "disks" => (disks(bench, number)?, shipped(bench)),
        _ => bail!("{with}: {usage}"),
    })
}

fn shipped(bench: &Bench) -> PathBuf {
    bench.loader.elf.clone()
}

impl Series {
    /// Counts instructions by QEMU's log, which slows down the guest so much that waiting for the
    /// disk costs next to nothing.
    fn measure(
        bench: &Bench,
        what: &'static str,
        values: &[u32],
        machine: impl FnMut(u32) -> Result<(Machine, PathBuf)>,
    ) -> Result<Self> {
        Ok(Self::profiled(bench, what, values, machine)?.0)
    }

    /// Returns the profile of each point as well.
    fn profiled(
        bench: &Bench,
        what: &'static str,
        values: &[u32],
        mut machine: impl FnMut(u32) -> Result<(Machine, PathBuf)>,
    ) -> Result<(Self, Vec<InstructionProfile>)> {
        let mut points = Vec::new();
        let mut profiles = Vec::new();
        for &at in values {
            eprintln!("bench: {at} ({what})");
            let (machine, loader) = machine(at)?;
            let profile = profile::measure(&machine, &loader, LOGGED_RUNS)?;
            points.push(Point {
                at,
                instructions: profile.instructions,
                accesses: accesses(&machine, bench.folder())?.others,
            });
            profiles.push(profile);
        }
        Ok((Self::new(what, points), profiles))
    }

    fn new(what: &'static str, points: Vec<Point>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let line = |cost: fn(&Point) -> u64| {
            let points: Vec<_> = points
                .iter()
                .map(|point| (f64::from(point.at), cost(point) as f64))
                .collect();
            Line::through(&points)
        };
        Self {
            what,
            instructions: line(|point| point.instructions),
            accesses: line(|point| point.accesses),
            points,
            note: String::new(),
        }
    }
}

/// Measures kernels of several sizes; the note lists the symbols that execute more instructions.
fn kernels(bench: &Bench) -> Result<Series> {
    let (series, profiles) = Series::profiled(bench, "kernel, MB", &KERNELS, |megabytes| {
        Ok((kernel(bench, megabytes)?, shipped(bench)))
    })?;
    let mut note = format!(
        "Symbols that execute more instructions for {} MB than for {} MB",
        KERNELS[3], KERNELS[0]
    );
    let lines = u64::from(KERNELS[3] - KERNELS[0]) * 1_000_000 / CACHE_LINE;
    let _ = write!(note, ", a difference of {} cache lines:", grouped(lines));
    for (name, more) in profiles[0].growth(&profiles[3], GROWN) {
        let _ = write!(note, "\n- `{name}`: {} instructions", grouped(more));
    }
    Ok(Series { note, ..series })
}

fn kernel(bench: &Bench, megabytes: u32) -> Result<Machine> {
    let size = megabytes as usize * 1_000_000;
    let payload = bench.payload.clone();
    let missing = size.saturating_sub(payload.bytes().len());
    let kernel = payload.append(missing);
    // Both slots use one kernel, because there is no room for two.
    let scratch = Scratch::bootable(&[])
        .set("b.kernel_lba", KERNEL_A)
        .write(KERNEL_A, kernel.bytes())
        .blocks((100 << 20) / 512);
    let path = bench.folder().join("kernel.img");
    scratch.create(&path)?;
    Ok(Machine::new(&bench.loader.elf)
        .memory_mib(256)
        .disk(Disk::new(path)))
}

/// Builds a loader with room for the largest environment.
fn large_loader(bench: &Bench) -> Result<PathBuf> {
    let most = ENVIRONMENTS.into_iter().max().unwrap_or_default();
    let build = LoaderBuild {
        env_size: Some(u64::from(most) << 10),
        ..LoaderBuild::default()
    };
    Ok(build::loader(&build, &bench.folder().join("large"))?.elf)
}

/// Patches a smaller environment size into the loader `large`, and returns a machine with such an
/// environment.
fn environment(bench: &Bench, large: &Path, kib: u32) -> Result<(Machine, PathBuf)> {
    let mut elf = build::read_elf(large)?;
    let size = kib << 10;
    let mut settings = elf.settings()?;
    settings.env.size = Bytes(size.into());
    elf.set_settings(settings)?;
    let loader = bench.folder().join("set.elf");
    fs::write(&loader, elf.bytes())?;
    let path = bench.folder().join("environment.img");
    Scratch::bootable(bench.payload.bytes())
        .env_at(16, size as usize)
        .create(&path)?;
    Ok((Machine::new(&loader).disk(Disk::new(path)), loader))
}

fn nodes(bench: &Bench, count: u32) -> Result<Machine> {
    let machine = bench.machine(qemu_tests::harness::machine::Bus::Mmio)?;
    let mut tree = Tree::of(machine.clone(), bench.folder())?;
    // Like a device's node: compatible, reg and interrupts.
    let text: String = (0..count)
        .map(|index| {
            let at = 0x5000_0000_u64 + u64::from(index) * 0x1000;
            format!(
                "device@{at:x} {{ compatible = \"bench,device\"; reg = <0 {at:#x} 0 0x1000>; interrupts = <0 {index} 4>; }};\n"
            )
        })
        .collect();
    tree = tree.node(&text)?;
    let path = tree.write(&bench.folder().join("nodes.dtb"), 0)?;
    Ok(machine.dtb(path))
}

fn disks(bench: &Bench, count: u32) -> Result<Machine> {
    let empty = bench.folder().join("empty.img");
    Scratch::empty().without_env().create(&empty)?;
    let mut machine = Machine::new(&bench.loader.elf);
    for _ in 1..count {
        machine = machine.disk(Disk::new(&empty).read_only());
    }
    let bootable = qemu_tests::bench::disks::bootable(bench.payload.bytes(), bench.folder())?;
    Ok(machine.disk(bootable))
}

fn markdown(series: &[Series]) -> String {
    let mut text = String::new();
    for series in series {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | instructions | MMIO accesses |", series.what);
        text += "| ---: | ---: | ---: |\n";
        for point in &series.points {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                point.at,
                grouped(point.instructions),
                grouped(point.accesses)
            );
        }
        let _ = writeln!(
            text,
            "| one more costs | {} | {} |\n",
            described(&series.instructions),
            described(&series.accesses)
        );
        if !series.note.is_empty() {
            let _ = writeln!(text, "{}\n", series.note);
        }
    }
    text
}

fn described(line: &Line) -> String {
    let off = line.deviation * 100.0;
    let slope = if line.slope < 100.0 {
        format!("{:.1}", line.slope)
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and positive here"
        )]
        grouped(line.slope.round() as u64)
    };
    match line.growth() {
        Growth::Flat => "nothing".to_owned(),
        Growth::Linear => format!("{slope} (all within {off:.1} % of a line)"),
        Growth::Other => format!("{slope} (**not linear**: up to {off:.0} % off)"),
    }
}
