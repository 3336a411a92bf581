// SPDX-License-Identifier: MIT OR Apache-2.0

//! The figures of `cargo qemu bench`, compared with a second way to count them.

use anyhow::{Result, ensure};

use qemu_tests::bench::instructions::instructions_within;
use qemu_tests::bench::{disks, profile, touched};
use qemu_tests::build::read_elf;
use qemu_tests::harness::report::{DONE, Report};

use crate::context::Context;
use crate::{Scenario, Test, named};

/// Runs whose log is read; waiting for the disk makes some of them longer.
const RUNS: u32 = 5;

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 3] = [
        ("the_log_has_every_instruction", every_instruction),
        ("irreparable_disk_is_passed_over", irreparable),
        ("memory_touched_is_the_loaders", touched_memory),
    ];
    named("measuring", tests)
}

/// QEMU's log and its icount agree, except for waiting.
fn every_instruction(context: &Context) -> Result<()> {
    let machine = context
        .machine()
        .disk(context.disk(&context.bootable()?)?.snapshot());
    let profile = profile::measure(&machine, &context.artifacts.loader(), RUNS)?;
    let counted = instructions_within(&machine, profile.instructions * 21 / 20)?;
    ensure!(
        profile.instructions.abs_diff(counted) < counted / 20,
        "{} by the log, {counted} by icount",
        profile.instructions
    );
    let named = profile.symbols.iter();
    let named: u64 = named
        .filter(|share| share.name != profile::NAMELESS)
        .map(|share| share.instructions)
        .sum();
    ensure!(
        named > profile.instructions * 9 / 10,
        "{named} of {} have a symbol",
        profile.instructions
    );
    Ok(())
}

/// The loader reads the environment of the disk whose cost is measured, up to its CRC, and does not
/// boot from the disk.
fn irreparable(context: &Context) -> Result<()> {
    let machine = context
        .machine()
        .disk(disks::irreparable(&context.path(""))?)
        .disk(context.disk(&context.bootable()?)?)
        .append("payload.end=wait");
    let mut running = machine.start()?;
    running.expect(DONE)?;
    let serial = running.serial();
    Report::parse(&serial)?;
    let reason = "bad CRC: stored 0xdeadbeef";
    ensure!(serial.contains(reason), "{reason:?} is not in {serial}");
    Ok(())
}

fn touched_memory(context: &Context) -> Result<()> {
    let payload = context.payload()?;
    let machine = context.machine().disk(context.disk(&context.bootable()?)?);
    let size = payload.bytes().len() as u64;
    let touched = touched::touched(&machine, size, &context.path(""))?;
    let elf = read_elf(&context.artifacts.loader())?;
    // QEMU itself touches what it loads, and the loader uses at most 1 MiB.
    let possible = elf.loaded() >> 10..=1024;
    ensure!(
        possible.contains(&touched.other_kib()) && touched.other_blocks() == 0,
        "{touched:x?}"
    );
    Ok(())
}
