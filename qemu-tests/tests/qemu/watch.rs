// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nothing of the loader runs or is written to once the kernel has started: the payload fills all
//! memory that is not its own, the loader's among it, waits, and looks whether it has changed.

use anyhow::{Result, ensure};

use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::report::{self, Report};
use qemu_tests::scratch::{self, Scratch};

use crate::context::{Context, machine, report};
use crate::{Scenario, Test};

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
    tests
        .into_iter()
        .map(|(name, test)| (format!("watch::{name}"), test))
        .collect()
}

/// A bootable disk whose payload watches memory.
fn watching(context: &Context, how: &str) -> Result<Scratch> {
    let arguments = format!("test.slot=a payload.watch={how}");
    Ok(context.bootable()?.set("a.kernel_args", arguments))
}

/// All memory was watched but for the payload and the DTB, and nothing has changed, or the report
/// would be an error.
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

/// The first disk is looked at and passed over, the second one is used: both must have been reset.
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

/// The CPUs that the kernel does not get sleep elsewhere. Without PSCI the machine ends by being
/// stopped.
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

/// The payload changes the last word itself: a check that finds nothing then would find nothing
/// ever.
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
