// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device trees that are missing, damaged, or have no room left.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use anyhow::{Result, ensure};

use qemu_tests::harness::gdb::Stub;
use qemu_tests::harness::machine::Disk;
use qemu_tests::harness::report::Report;
use qemu_tests::harness::running::Running;
use qemu_tests::scratch::variable;

use crate::context::{Context, fatal, machine, report};
use crate::{Scenario, Test, named};

/// The address at which QEMU puts the device tree for an ELF.
const DTB: u64 = 0x4000_0000;

/// Time limit for a machine that cannot boot to power itself off.
const POWER_OFF: Duration = Duration::from_secs(10);

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 8] = [
        ("missing", missing),
        ("damaged", damaged),
        ("impossible_size", impossible_size),
        ("no_slack_for_the_command_line", no_room),
        ("string_that_is_no_text", odd_string),
        ("structure_block_too_short", short_structure),
        ("append_of_any_bytes", append_of_any_bytes),
        ("given_by_the_user", given),
    ];
    named("device_trees", tests)
}

/// Starts a bootable machine after `change` has modified its memory, before the first instruction.
fn changed(context: &Context, change: impl FnOnce(&mut Stub) -> Result<()>) -> Result<Running> {
    let disk = context.disk(&context.bootable()?)?;
    context.changed(context.machine().disk(disk), change)
}

fn missing(context: &Context) -> Result<()> {
    let lines = fatal(changed(context, |stub| Ok(stub.write(DTB, &[0; 4])?))?)?;
    let message = "no device tree at 0x40000000: found 0x00000000, expected 0xd00dfeed. QEMU gives one to `-M virt`";
    ensure!(
        lines.len() == 1 && lines[0].starts_with(message),
        "{lines:#?}"
    );
    Ok(())
}

/// The structure block begins with an unknown token.
fn damaged(context: &Context) -> Result<()> {
    let damage = |stub: &mut Stub| {
        let structure = header_word(stub, 8)?;
        Ok(stub.write(DTB + u64::from(structure), &[0x12; 4])?)
    };
    let lines = fatal(changed(context, damage)?)?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with("corrupt device tree: "),
        "{lines:#?}"
    );
    Ok(())
}

fn impossible_size(context: &Context) -> Result<()> {
    let lines = fatal(changed(context, |stub| {
        Ok(stub.write(DTB + 4, &0x4000_0000_u32.to_be_bytes())?)
    })?)?;
    let message = "the device tree at 0x40000000 says it has 1073741824 bytes; between 40 and 2 MiB are possible";
    ensure!(
        lines.len() == 1 && lines[0].starts_with(message),
        "{lines:#?}"
    );
    Ok(())
}

/// The total size is reduced to the size in use, so that the tree has no space for the command
/// line: the loader uses the RAM after the tree.
fn no_room(context: &Context) -> Result<()> {
    let shrink = |stub: &mut Stub| {
        let used = header_word(stub, 12)? + header_word(stub, 32)?;
        Ok(stub.write(DTB + 4, &used.to_be_bytes())?)
    };
    let report = end_of(changed(context, shrink)?)?;
    ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");
    ensure!(report.number("dtb")? == DTB, "{report:?}");
    Ok(())
}

/// A string that no property uses may contain any bytes.
fn odd_string(context: &Context) -> Result<()> {
    let add = |stub: &mut Stub| {
        let (strings, size) = (header_word(stub, 12)?, header_word(stub, 32)?);
        stub.write(DTB + u64::from(strings + size), b"\xff\xfe\0")?;
        Ok(stub.write(DTB + 32, &(size + 3).to_be_bytes())?)
    };
    let report = end_of(changed(context, add)?)?;
    ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");
    Ok(())
}

/// The header's size of the structure block is too small: the loader stops before counting a trial.
fn short_structure(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    let scratch = context.bootable()?.set("upgrade_available", "1");
    scratch.set("bootcount", "0").create(&image)?;
    let mut end = 0;
    let machine = context.machine().disk(Disk::new(&image));
    let running = context.changed(machine, |stub| {
        let size = header_word(stub, 36)? - 4;
        end = header_word(stub, 8)? + size;
        Ok(stub.write(DTB + 36, &size.to_be_bytes())?)
    })?;
    let lines = fatal(running)?;
    let message = format!("corrupt device tree: no end of the structure block at byte {end:#x}");
    ensure!(
        lines.len() == 1 && lines[0].starts_with(&message),
        "{lines:#?}"
    );
    let bootcount = variable(&image, "bootcount")?;
    ensure!(bootcount.as_deref() == Some("0"), "{bootcount:?}");
    Ok(())
}

/// `-append` with bytes that are not UTF-8 reaches the kernel unchanged.
fn append_of_any_bytes(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    for loader in [context.artifacts.loader(), context.artifacts.flat_loader()] {
        let append = OsStr::from_bytes(b"a=\xff\xfe b");
        let machine = machine(&loader)
            .disk(disk.clone())
            .arguments([OsStr::new("-append"), append]);
        let report = report(&machine)?;
        ensure!(
            report.get("bootargs")? == "test.slot=a a=\\xff\\xfe b",
            "{report:?}"
        );
    }
    Ok(())
}

/// Returns the report of a running machine, after its power-off.
fn end_of(running: Running) -> Result<Report> {
    let serial = running.wait_for_exit()?.serial;
    Ok(Report::parse(&serial)?)
}

fn header_word(stub: &mut Stub, offset: u64) -> Result<u32> {
    let bytes = stub.read(DTB + offset, 4)?;
    Ok(bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte)))
}

/// QEMU's own tree, recompiled by dtc and passed with `-dtb`: small, and so large that QEMU
/// silently ignores it.
fn given(context: &Context) -> Result<()> {
    let tree = context.tree()?;
    let given = tree.write(&context.path("given.dtb"), 0)?;
    let disk = context.disk(&context.bootable()?)?;
    let machine = machine(&context.artifacts.loader()).disk(disk).dtb(&given);
    let report = report(&machine)?;
    ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");

    tree.write(&given, 600_000)?;
    let lines = fatal(machine.time_limit(POWER_OFF).start()?)?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with("no device tree at 0x40000000: found "),
        "{lines:#?}"
    );
    Ok(())
}
