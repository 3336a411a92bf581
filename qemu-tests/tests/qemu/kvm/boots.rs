// SPDX-License-Identifier: MIT OR Apache-2.0

//! The payload booted on all kinds of machines.

use anyhow::{Result, ensure};

use qemu_tests::build::OPT_LEVELS;
use qemu_tests::harness::kvm_host::KvmHost;
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::report::Report;

use super::cases::{Cases, bootable, host};
use crate::Scenario;
use crate::context::{Context, machine};

pub(crate) const TESTS: &[(&str, Scenario)] = &[
    ("transports", |context| run(context, transports)),
    ("pci", |context| run(context, pci)),
    ("cpus_and_memory", |context| run(context, cpus_and_memory)),
    ("opt_levels", |context| run(context, opt_levels)),
];

/// Adds cases with a bootable disk.
type Add = fn(&mut Cases<'_>, &Context, &Disk);

fn run(context: &Context, add: Add) -> Result<()> {
    let disk = context.disk(&bootable(context)?)?;
    let mut cases = Cases::default();
    add(&mut cases, context, &disk);
    cases.run(&host()?, context)
}

/// All cases, on one host.
pub(super) fn all(context: &Context, host: &KvmHost) -> Result<()> {
    let disk = context.disk(&bootable(context)?)?;
    let mut cases = Cases::default();
    for add in [transports, pci, cpus_and_memory, opt_levels] {
        add(&mut cases, context, &disk);
    }
    cases.run(host, context)
}

fn slot_a(report: &Report) -> Result<()> {
    let args = report.get("bootargs")?;
    ensure!(args.starts_with("test.slot=a "), "{args}");
    ensure!(report.number("el")? == 1, "{report:?}");
    Ok(())
}

/// Both forms of the loader, each kind of MMIO transport, and both sizes of sectors.
fn transports(cases: &mut Cases<'_>, context: &Context, disk: &Disk) {
    let flat = machine(&context.artifacts.flat_loader());
    let elf = context.machine();
    for (name, machine) in [
        ("elf", elf.clone().disk(disk.clone())),
        ("flat binary", flat.disk(disk.clone())),
        ("modern", elf.clone().modern_transports().disk(disk.clone())),
        ("first transport", first(&elf, disk)),
        (
            "first transport, modern",
            first(&elf, disk).modern_transports(),
        ),
        ("sectors of 4096", elf.disk(disk.clone().block_size(4096))),
    ] {
        cases.boots(name, machine, slot_a);
    }
}

fn first(machine: &Machine, disk: &Disk) -> Machine {
    machine.clone().disk(disk.clone().bus(Bus::MmioAt(0)))
}

fn pci(cases: &mut Cases<'_>, context: &Context, disk: &Disk) {
    let on = |bus| context.machine().disk(disk.clone().bus(bus));
    let modern = disk
        .clone()
        .bus(Bus::Pci)
        .device_options("disable-legacy=on");
    for (name, machine) in [
        ("transitional", on(Bus::Pci)),
        ("modern only", context.machine().disk(modern)),
        ("root port", on(Bus::PciRootPort)),
        ("bridge", on(Bus::PciBridge)),
        ("highmem=off", on(Bus::Pci).machine_option("highmem=off")),
    ] {
        cases.boots(name, machine, |report| {
            // The payload looks only at bus 0.
            ensure!(report.number("pci_running_disks")? == 0, "{report:?}");
            slot_a(report)
        });
    }
}

fn cpus_and_memory(cases: &mut Cases<'_>, context: &Context, disk: &Disk) {
    for (cpus, mib) in [(2, 110), (4, 64), (1, 2048)] {
        let machine = context.machine().cpus(cpus).memory_mib(mib);
        let name = format!("{cpus} CPUs, {mib} MiB");
        cases.boots(name, machine.disk(disk.clone()), move |report| {
            ensure!(report.number("cpus")? == u64::from(cpus), "{report:?}");
            ensure!(report.number("ram")? == u64::from(mib) << 20, "{report:?}");
            slot_a(report)
        });
    }
}

fn opt_levels(cases: &mut Cases<'_>, context: &Context, disk: &Disk) {
    for level in OPT_LEVELS {
        let machine = machine(&context.artifacts.loader_at(level)).disk(disk.clone());
        cases.boots(format!("opt-level {level}"), machine, slot_a);
    }
    let dev = machine(&context.artifacts.dev_loader()).disk(disk.clone());
    cases.boots("dev profile", dev, slot_a);
}
