// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device trees that are missing, damaged, or have no room left.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use qemu_tests::gdb::Stub;
use qemu_tests::machine::Machine;
use qemu_tests::process;
use qemu_tests::running::Running;

use crate::Test;
use crate::context::{Context, fatal, machine, report};

/// Where QEMU puts the device tree for an ELF.
const DTB: u64 = 0x4000_0000;

/// How long a machine that cannot boot may take to power itself off.
const POWER_OFF: Duration = Duration::from_secs(10);

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, fn(&Context) -> Result<()>); 5] = [
        ("missing", missing),
        ("damaged", damaged),
        ("impossible_size", impossible_size),
        ("no_room_for_the_command_line", no_room),
        ("given_by_the_user", given),
    ];
    tests
        .into_iter()
        .map(|(name, test)| (format!("device_trees::{name}"), test))
        .collect()
}

/// Starts a bootable machine whose memory is changed before the first instruction.
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

/// The first token of the structure block is no token at all.
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

/// The total size becomes what is used, so that no byte is free for the command line.
fn no_room(context: &Context) -> Result<()> {
    let shrink = |stub: &mut Stub| {
        let used = header_word(stub, 12)? + header_word(stub, 32)?;
        Ok(stub.write(DTB + 4, &used.to_be_bytes())?)
    };
    let running = changed(context, shrink)?;
    let lines = fatal(running)?;
    let message = "the device tree has no room for the command line of 11 bytes: ";
    ensure!(
        lines.len() == 1 && lines[0].starts_with(message),
        "{lines:#?}"
    );
    Ok(())
}

fn header_word(stub: &mut Stub, offset: u64) -> Result<u32> {
    let bytes = stub.read(DTB + offset, 4)?;
    Ok(bytes
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte)))
}

/// QEMU's own tree through dtc and back by `-dtb`, small, and so large that QEMU leaves it out without a word.
fn given(context: &Context) -> Result<()> {
    let (dumped, given) = (context.path("dumped.dtb"), context.path("given.dtb"));
    let dump = Machine::new(context.artifacts.loader())
        .machine_option(&format!("dumpdtb={}", dumped.display()));
    process::capture(&mut dump.command(), POWER_OFF)?;
    let pack = |padding: &str| {
        let mut dtc = Command::new("dtc");
        dtc.args(["-q", "-I", "dtb", "-O", "dtb", "-p", padding, "-o"])
            .arg(&given);
        process::capture(dtc.arg(&dumped), POWER_OFF)
    };
    pack("0")?;
    let disk = context.disk(&context.bootable()?)?;
    let machine = machine(&context.artifacts.loader()).disk(disk).dtb(&given);
    let report = report(&machine)?;
    ensure!(report.get("bootargs")? == "test.slot=a", "{report:?}");

    pack("600000")?;
    let lines = fatal(machine.time_limit(POWER_OFF).start()?)?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with("no device tree at 0x40000000: found "),
        "{lines:#?}"
    );
    Ok(())
}
