// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader at every exception level at which QEMU enters it, and its report of an exception
//! there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use goblin::elf::Elf;
use qemu_tests::harness::gdb::Stub;
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::report::Report;

use crate::context::{Context, fatal};
use crate::payload::CPUS;
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 6] = [
        ("entered_at_el3_goes_to_el1", |context| {
            from_el3(context, "virtualization=off")
        }),
        ("entered_at_el3_with_el2_goes_to_el1", |context| {
            from_el3(context, "virtualization=on")
        }),
        ("exception_at_el1_is_reported", |context| {
            exception(
                context,
                "virtualization=off",
                "little_loader5start17h",
                0,
                1,
            )
        }),
        (
            "exception_with_a_used_bss_is_reported",
            exception_before_bss_is_cleared,
        ),
        ("exception_at_el2_is_reported", |context| {
            exception(context, "virtualization=on", "drop_to_el1", 12, 2)
        }),
        ("exception_at_el3_is_reported", |context| {
            exception(context, "secure=on", "drop_to_secure_el1", 12, 3)
        }),
    ];
    named("levels", tests)
}

/// The kernel gets one CPU of the four, and interrupts but no PSCI, so the test has to stop the
/// machine.
fn from_el3(context: &Context, option: &str) -> Result<()> {
    entered(context, &["secure=on", option], 4, 1, unending)
}

/// Checks that a machine with these options enters the kernel at `level`, for each CPU model and
/// interrupt controller. `report` boots one machine.
pub(crate) fn entered(
    context: &Context,
    options: &[&str],
    cpus: u8,
    level: u64,
    report: fn(&Machine) -> Result<Report>,
) -> Result<()> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    for cpu in CPUS {
        for gic in ["gic-version=2", "gic-version=3"] {
            let machine = context.machine().cpu(cpu).cpus(cpus);
            let machine = options
                .iter()
                .chain([&gic])
                .fold(machine, |machine, option| machine.machine_option(option))
                .disk(Disk::new(&image));
            let report = report(&machine).with_context(|| format!("{cpu}, {gic}"))?;
            ensure!(
                report.number("el")? == level && report.number("cpus")? == u64::from(cpus),
                "{cpu}, {gic}: {report:?}"
            );
        }
    }
    Ok(())
}

/// Returns the payload's report on a machine that it cannot power off.
fn unending(machine: &Machine) -> Result<Report> {
    let mut running = machine.start()?;
    running
        .expect("warning: entered at EL3 (secure=on): the kernel gets 1 CPU of 4 and no PSCI")?;
    running.expect("payload: done")?;
    Ok(Report::parse(&running.serial())?)
}

/// An undefined instruction `offset` bytes after a symbol of the loader is reported with its level
/// and address.
fn exception(context: &Context, option: &str, symbol: &str, offset: u64, level: u64) -> Result<()> {
    let at = address(&context.artifacts.loader(), symbol)? + offset;
    undefined(context, option, at, level, |_| Ok(()))
}

/// After a reboot, BSS contains leftovers of the kernel. The report of an exception must not depend
/// on it.
fn exception_before_bss_is_cleared(context: &Context) -> Result<()> {
    let loader = context.artifacts.loader();
    let at = address(&loader, "3mmu6enable17h")?;
    let (start, length) = section(&loader, ".bss")?;
    ensure!(length > 0, ".bss is empty");
    undefined(context, "virtualization=off", at, 1, |stub| {
        Ok(stub.write(start, &vec![0xff; length])?)
    })
}

/// An undefined instruction at `at` is reported at `level`; `change` further changes the memory.
fn undefined(
    context: &Context,
    option: &str,
    at: u64,
    level: u64,
    change: impl FnOnce(&mut Stub) -> Result<()>,
) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let machine = context.machine().machine_option(option).disk(disk);
    // UDF #0 is all zeros (Arm ARM, C6.2.443).
    let running = context.changed(machine, |stub| {
        change(stub)?;
        Ok(stub.write(at, &[0; 4])?)
    })?;
    let lines = fatal(running)?;
    let message = format!(
        "synchronous exception at EL{level}, undefined instruction, at {at:#x}: ESR 0x2000000, FAR "
    );
    ensure!(
        lines.len() == 1 && lines[0].starts_with(&message),
        "not {message:?}: {lines:#?}"
    );
    Ok(())
}

/// Returns the address and length of a section.
fn section(elf: &Path, name: &str) -> Result<(u64, usize)> {
    let bytes = fs::read(elf)?;
    let elf = Elf::parse(&bytes)?;
    let found = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(name))
        .with_context(|| format!("no section {name}"))?;
    Ok((found.sh_addr, usize::try_from(found.sh_size)?))
}

/// Returns the address of the function whose mangled name contains `part`.
fn address(elf: &Path, part: &str) -> Result<u64> {
    let bytes = fs::read(elf)?;
    let elf = Elf::parse(&bytes)?;
    let found = elf.syms.iter().find(|symbol| {
        symbol.is_function()
            && elf
                .strtab
                .get_at(symbol.st_name)
                .is_some_and(|name| name.contains(part))
    });
    Ok(found
        .with_context(|| format!("no function {part}"))?
        .st_value)
}
