// SPDX-License-Identifier: MIT OR Apache-2.0

//! No part of the loader runs and no device writes to memory once the kernel has started: the
//! payload fills all memory except its own, including the loader's, waits, and checks for changes.

use anyhow::{Result, ensure};

use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::report::{self, Report};
use qemu_tests::scratch::{self, Scratch};

use crate::context::{Context, machine, report};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 8] = [
        ("memory_stays_as_it_is_with_a_legacy_transport", |context| {
            undisturbed(context, Machine::disk).map(drop)
        }),
        ("memory_stays_as_it_is_with_a_modern_transport", |context| {
            undisturbed(context, |machine, disk| {
                machine.modern_transports().disk(disk)
            })
            .map(drop)
        }),
        ("memory_stays_as_it_is_with_disks_on_pci", on_pci),
        ("memory_stays_as_it_is_at_el2", |context| {
            let report = undisturbed(context, |machine, disk| {
                machine
                    .machine_option("virtualization=on")
                    .cpus(4)
                    .disk(disk)
            })?;
            ensure!(report.number("el")? == 2, "{report:?}");
            Ok(())
        }),
        ("memory_stays_as_it_is_below_el3", below_el3),
        ("memory_stays_as_it_is_after_a_write", after_a_write),
        ("memory_stays_as_it_is_for_the_flat_binary", |context| {
            let disk = context.disk(&watching(context, "1")?)?;
            let machine = machine(&context.artifacts.flat_loader()).memory_mib(64);
            watched(context, &report(&machine.disk(disk))?)
        }),
        ("one_changed_word_is_seen", tampered),
    ];
    named("watch", tests)
}

/// Returns a bootable disk whose payload watches memory.
fn watching(context: &Context, how: &str) -> Result<Scratch> {
    let arguments = format!("test.slot=a payload.watch={how}");
    Ok(context.bootable()?.set("a.kernel_args", arguments))
}

/// Checks that the payload watched all memory except its own and the DTB, and that nothing changed.
fn watched(context: &Context, report: &Report) -> Result<()> {
    let ours = context.payload()?.bytes().len() as u64 + report.number("dtb_size")?;
    let left_out = report.number("ram")? - report.number("watched")?;
    // Up to a word at both ends of the DTB.
    ensure!(
        (ours..=ours + 16).contains(&left_out),
        "{left_out} bytes were not watched, {ours} are the payload's: {report:?}"
    );
    ensure!(report.get("changed_words")? == "0 from 0x0", "{report:?}");
    Ok(())
}

fn undisturbed(context: &Context, change: impl FnOnce(Machine, Disk) -> Machine) -> Result<Report> {
    let disk = context.disk(&watching(context, "1")?)?;
    let report = report(&change(context.machine(), disk))?;
    watched(context, &report)?;
    Ok(report)
}

/// The loader passes over the first disk and uses the second one: it must have reset both.
fn on_pci(context: &Context) -> Result<()> {
    let empty = context.path("empty.img");
    context.bootable()?.without_env().create(&empty)?;
    let report = undisturbed(context, |machine, disk| {
        machine
            .disk(Disk::new(&empty).bus(Bus::Pci))
            .disk(disk.bus(Bus::Pci))
    })?;
    ensure!(report.number("pci_disks")? == 2, "{report:?}");
    ensure!(report.number("pci_running_disks")? == 0, "{report:?}");
    Ok(())
}

/// The CPUs that the kernel does not get sleep in secure RAM. The machine has no PSCI, so the test
/// stops it.
fn below_el3(context: &Context) -> Result<()> {
    let disk = context.disk(&watching(context, "1")?)?;
    let machine = context.machine().machine_option("secure=on").cpus(4);
    let mut running = machine.disk(disk).start()?;
    running.expect(report::DONE)?;
    watched(context, &Report::parse(&running.serial())?)
}

/// A trial is counted on the disk before the kernel is read.
fn after_a_write(context: &Context) -> Result<()> {
    let scratch = watching(context, "1")?.set("upgrade_available", "1");
    let disk = context.disk(&scratch)?;
    let report = report(&context.machine().disk(disk))?;
    watched(context, &report)?;
    let count = scratch::variable(&context.path("disk.img"), "bootcount")?;
    ensure!(count.as_deref() == Some("1"), "bootcount is {count:?}");
    Ok(())
}

/// The payload changes the last word itself, to show that the check detects a change.
fn tampered(context: &Context) -> Result<()> {
    let disk = context.disk(&watching(context, "tamper")?)?;
    let running = context.machine().disk(disk).start()?;
    let serial = running.wait_for_exit()?.serial;
    // 128 MiB from 0x4000_0000 on, less one word.
    let expected = "changed_words=1 from 0x47fffff8 FAIL";
    ensure!(serial.contains(expected), "no {expected:?}:\n{serial}");
    ensure!(Report::parse(&serial).is_err(), "{serial}");
    Ok(())
}
