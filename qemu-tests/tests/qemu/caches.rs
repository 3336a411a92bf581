// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::context::{Context, machine};
use crate::{Scenario, Test};
use anyhow::Result;
use qemu_tests::caches::model::replay;
use qemu_tests::caches::{Program, record};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use std::fs;

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 1] = [("look", look)];
    tests
        .into_iter()
        .map(|(n, t)| (format!("caches::{n}"), t))
        .collect()
}
fn look(context: &Context) -> Result<()> {
    let program = Program::parse(&fs::read(context.artifacts.loader())?)?;
    let disk = context.disk(&context.bootable()?)?;
    for (name, change) in [
        (
            "el1",
            (|m: Machine, d: Disk| m.disk(d)) as fn(Machine, Disk) -> Machine,
        ),
        ("pci", |m, d| m.disk(d.bus(Bus::Pci))),
        ("el2", |m, d| m.machine_option("virtualization=on").disk(d)),
        ("el2x4", |m, d| {
            m.machine_option("virtualization=on").cpus(4).disk(d)
        }),
        ("el3", |m, d| m.machine_option("secure=on").disk(d)),
    ] {
        let begun = std::time::Instant::now();
        let m = change(
            machine(&context.artifacts.loader()),
            disk.clone().snapshot(),
        );
        let recording = record(&m, &program)?;
        let t1 = begun.elapsed();
        let outcome = replay(&recording.events, &program.layout(128));
        println!(
            "{name}: {} events, {} dev, {} dev by model, entered {:x?}, {} lines, record {t1:?} replay {:?}",
            recording.events.len(),
            recording.device_accesses.len(),
            outcome.device_accesses.len(),
            outcome.entered,
            outcome.written_lines(),
            begun.elapsed() - t1
        );
        for (rule, f) in outcome.findings.iter() {
            println!(
                "  {rule:?} at {} {:#x} addr {:#x} x{}",
                program.place(f.at),
                f.at,
                f.address,
                f.times
            );
        }
    }
    Ok(())
}
