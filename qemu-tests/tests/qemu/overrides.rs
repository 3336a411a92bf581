// SPDX-License-Identifier: MIT OR Apache-2.0

//! Overrides of the image's and the loader's settings, as fw_cfg files on QEMU's command line.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::scratch::Scratch;

use crate::context::{Context, console_text, machine, report};
use crate::slots::{told, updated};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 7] = [
        ("slot_is_booted_and_nothing_written", slot),
        ("append_comes_last", append),
        ("environment_elsewhere", environment),
        ("slot_that_cannot_be_booted", bad_slot),
        ("quiet_leaves_warnings_and_errors", quiet),
        ("quiet_build", quiet_build),
        ("malformed_ones_are_refused", malformed),
    ];
    named("overrides", tests)
}

/// Adds the override `name` to the machine.
pub(crate) fn with(machine: Machine, name: &str, value: &str) -> Machine {
    machine.fw_cfg(&format!("opt/org.little-loader/{name}"), value)
}

/// Both slots by override while a trial of slot b is pending: the disk does not change.
fn slot(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    updated(context)?.create(&image)?;
    let before = fs::read(&image)?;
    let machine = context.machine().disk(Disk::new(&image));
    for (slot, wanted) in [("a", "a override 0"), ("b", "b override 0")] {
        let told = told(&report(&with(machine.clone(), "slot", slot))?)?;
        ensure!(told == wanted, "{told}");
        ensure!(fs::read(&image)? == before, "the disk was written to");
    }
    ensure!(told(&report(&machine)?)? == "b trial 1");
    Ok(())
}

fn append(context: &Context) -> Result<()> {
    let machine = context
        .machine()
        .disk(context.disk(&context.bootable()?)?)
        .append("from=append");
    let report = report(&with(machine, "append", "serial=1234 x"))?;
    let bootargs = report.get("bootargs")?;
    ensure!(
        bootargs == "test.slot=a from=append serial=1234 x",
        "{bootargs}"
    );
    Ok(())
}

fn environment(context: &Context) -> Result<()> {
    let disk = context.bootable()?.env_at(1000, 128 << 10);
    let machine = context.machine().disk(context.disk(&disk)?);
    let serial = console_text(&with(machine, "env-lba", "1000"))?;
    ensure!(
        serial.contains("override: environment at block 1000"),
        "{serial}"
    );
    ensure!(serial.contains("payload: done"), "{serial}");
    Ok(())
}

/// If the slot of the override cannot be booted, the loader does not boot the other one.
fn bad_slot(context: &Context) -> Result<()> {
    let disk = context.bootable()?.unset("b.kernel_lba");
    let machine = context.machine().disk(context.disk(&disk)?);
    let lines = context.fatal(with(machine, "slot", "b"))?;
    ensure!(lines[0] == "slot b: kernel_lba is not set", "{lines:#?}");
    Ok(())
}

/// Returns what the loader prints before the payload starts.
fn said(machine: &Machine) -> Result<String> {
    let serial = console_text(machine)?;
    let (said, report) = serial.split_once("payload: ").context("no payload")?;
    ensure!(report.contains("payload: done"), "{serial}");
    Ok(said.to_owned())
}

/// A good boot, one with a warning, and one with an error.
fn quiet(context: &Context) -> Result<()> {
    let machine = |disk: &Scratch| -> Result<Machine> {
        let machine = context.machine().disk(context.disk(disk)?);
        Ok(with(machine, "quiet", "1"))
    };
    let said_by = said(&with(machine(&context.bootable()?)?, "slot", "a"))?;
    ensure!(said_by.is_empty(), "{said_by}");
    let one_slot = context.bootable()?.unset("a.kernel_lba");
    let said_by = said(&machine(&one_slot)?)?;
    ensure!(
        said_by == "little-loader: warning: slot a: kernel_lba is not set\r\n",
        "{said_by}"
    );
    let serial = console_text(&machine(&one_slot.unset("b.kernel_lba"))?)?;
    let lines: Vec<_> = serial.lines().collect();
    ensure!(
        lines.len() == 3
            && lines[0] == "little-loader: fatal: slot a: kernel_lba is not set"
            && lines[1] == "little-loader: fatal: slot b: kernel_lba is not set"
            && lines[2].starts_with("little-loader: fatal: no slot can be booted by "),
        "{lines:#?}"
    );
    Ok(())
}

/// A loader that is built to be quiet, without and with an override.
fn quiet_build(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let machine = machine(&context.artifacts.quiet_loader()).disk(disk);
    let said_by = said(&machine)?;
    ensure!(said_by.is_empty(), "{said_by}");
    let said_by = said(&with(machine, "quiet", "0"))?;
    ensure!(said_by.starts_with("little-loader "), "{said_by}");
    Ok(())
}

/// The name and value of overrides that are refused, and the message.
pub(crate) fn malformed_values() -> [(&'static str, String, &'static str); 5] {
    [
        ("slot", "c".to_owned(), "slot is \"c\", neither a nor b"),
        (
            "env-lba",
            "0x10".to_owned(),
            "env-lba is \"0x10\", not a decimal number",
        ),
        (
            "serial",
            "1".to_owned(),
            "\"serial\" is not known: slot, append, env-lba and quiet are",
        ),
        (
            "quiet",
            "yes".to_owned(),
            "quiet is \"yes\", neither 0 nor 1",
        ),
        (
            "append",
            "x".repeat(2049),
            "append has 2049 bytes; at most 2048 are possible",
        ),
    ]
}

fn malformed(context: &Context) -> Result<()> {
    let machine = context.machine().disk(context.disk(&context.bootable()?)?);
    for (name, value, message) in malformed_values() {
        let lines = context.fatal(with(machine.clone(), name, &value))?;
        ensure!(
            lines[0] == format!("-fw_cfg: opt/org.little-loader/{message}"),
            "{lines:#?}"
        );
    }
    Ok(())
}
