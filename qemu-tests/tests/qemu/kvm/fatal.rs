// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors that stop the boot: the loader says why, and powers off by PSCI.

use anyhow::{Result, ensure};
use little_loader_core::settings::SYMBOL;

use qemu_tests::harness::kvm_host::{Ended, Guest};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::scratch::{KERNEL_A, Scratch};

use super::cases::{Cases, host, powered_off};
use super::mutant;
use crate::Scenario;
use crate::context::{Context, machine};

pub(crate) const TESTS: &[(&str, Scenario)] = &[
    ("fatal_errors_of_the_machine_power_off", of_the_machine),
    ("fatal_errors_of_slots_power_off", of_slots),
];

/// Adds a guest that must report a fatal error with `text` in it, and end.
fn fatal(cases: &mut Cases<'_>, name: &'static str, machine: Machine, text: &'static str) {
    cases.guest(Guest::new(name, machine), move |ended| stopped(ended, text));
}

fn stopped(ended: &Ended, text: &str) -> Result<()> {
    powered_off(ended)?;
    let mut lines = ended.serial.lines();
    let said = lines.any(|line| line.starts_with("little-loader: fatal: ") && line.contains(text));
    ensure!(said, "no fatal error with {text:?}");
    ensure!(
        !ended.serial.contains("payload: "),
        "the payload was entered"
    );
    Ok(())
}

fn of_the_machine(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let zeroes = context.path("zeroes");
    context.bootable()?.without_env().create(&zeroes)?;
    let good = || context.machine().disk(disk.clone());
    let overridden = |value| {
        let file = format!("name=opt/org.little-loader/{value}");
        good().arguments(["-fw_cfg", &file])
    };
    // QEMU passes no device tree on if it does not fit into 1 MiB.
    let large = context.tree()?.write(&context.path("large.dtb"), 600_000)?;
    // An undefined instruction is all zeroes (Arm ARM, C6.2.443).
    let undefined = context.path("undefined.elf");
    let loader = context.artifacts.loader();
    let start = mutant::symbol(&loader, "little_loader5start17h")?;
    mutant::write(&loader, &undefined, start, 0)?;
    // The size of the environment is 0 (core/settings.rs).
    let unset = context.path("unset.elf");
    let size = mutant::symbol(&loader, SYMBOL)? + 24;
    mutant::write(&loader, &unset, size, 0)?;

    let mut cases = Cases::default();
    for (name, machine, text) in [
        ("no disk", context.machine(), "no block device: add"),
        (
            "no environment",
            context.machine().disk(Disk::new(zeroes)),
            "none of 1 block devices has a valid environment",
        ),
        (
            "override of the slot",
            overridden("slot,string=c"),
            "slot is \"c\", neither a nor b",
        ),
        (
            "long -append",
            good().append(&"x".repeat(2036)),
            "the command line has 2048 bytes",
        ),
        (
            "unknown override",
            overridden("serial,string=1"),
            "\"serial\" is not known",
        ),
        (
            "settings",
            machine(&unset).disk(disk.clone()),
            "built-in settings: ",
        ),
        (
            "no device tree",
            good().dtb(large),
            "no device tree at 0x40000000",
        ),
        (
            "exception",
            machine(&undefined).disk(disk.clone()),
            "synchronous exception at EL1, undefined instruction, at ",
        ),
        (
            "PCI disk without modern registers",
            context.machine().disk(
                disk.clone()
                    .bus(Bus::Pci)
                    .device_options("disable-modern=on,disable-legacy=off"),
            ),
            "no virtio 1.0 registers",
        ),
    ] {
        fatal(&mut cases, name, machine, text);
    }
    cases.run(&host()?, context)
}

/// Both slots of each disk fail for one reason.
fn of_slots(context: &Context) -> Result<()> {
    let good = || context.bootable();
    let both = |name: &str, value: String| -> Result<Scratch> {
        Ok(good()?
            .set(&format!("a.{name}"), &value)
            .set(&format!("b.{name}"), value))
    };
    let content = |bytes: &[u8]| -> Result<Scratch> {
        Ok(Scratch::empty()
            .set("nerves_fw_active", "a")
            .set("a.kernel_lba", KERNEL_A)
            .set("b.kernel_lba", KERNEL_A)
            .write(KERNEL_A, bytes))
    };
    let kernel = context.payload()?;
    let with_initrd = |lba: u64, size: u64| -> Result<Scratch> {
        Ok(both("initrd_lba", lba.to_string())?
            .set("a.initrd_size", size)
            .set("b.initrd_size", size)
            .blocks((1 << 30) / 512))
    };
    let mut cases = Cases::default();
    for (index, (name, scratch, text)) in [
        (
            "no kernel_lba",
            good()?.unset("a.kernel_lba").unset("b.kernel_lba"),
            "kernel_lba is not set",
        ),
        (
            "kernel_lba is no number",
            both("kernel_lba", "0x800".to_owned())?,
            "kernel_lba is \"0x800\", not a decimal number",
        ),
        (
            "kernel beyond the disk",
            both("kernel_lba", "131072".to_owned())?,
            "ends beyond the disk",
        ),
        ("gzip", content(b"\x1f\x8b\x08")?, "but a gzip file"),
        ("zeroes", content(&[0; 4096])?, "but only zeroes"),
        (
            "kernel too big",
            content(kernel.clone().image_size(1 << 30).bytes())?.blocks((2 << 30) / 512),
            "the kernel needs 1024.0 MiB in one piece",
        ),
        (
            "big-endian kernel",
            content(kernel.flags(0b1011).bytes())?,
            "the kernel is big-endian",
        ),
        (
            "initrd too big",
            with_initrd(200_000, 200 << 20)?,
            "the initrd needs 200.0 MiB beside the kernel",
        ),
        (
            "initrd beyond the disk",
            with_initrd(2_097_151, 1024)?,
            "the initrd at block 2097151 with 2 blocks ends beyond the disk",
        ),
        (
            "long command line",
            both("kernel_args", "y".repeat(3000))?,
            "the command line has 3000 bytes",
        ),
        (
            "slot that must not be booted",
            good()?
                .set("a.nerves_fw_platform", "x")
                .set("a.kernel_lba", 3000),
            "slot b: must not be booted",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = context.path(&format!("disk{index}"));
        scratch.create(&path)?;
        let machine = context.machine().disk(Disk::new(path));
        fatal(&mut cases, name, machine, text);
    }
    cases.run(&host()?, context)
}
