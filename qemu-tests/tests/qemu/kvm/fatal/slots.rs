// SPDX-License-Identifier: MIT OR Apache-2.0

//! Both slots of a disk fail for one reason.

use anyhow::Result;

use qemu_tests::harness::machine::Disk;
use qemu_tests::scratch::{KERNEL_A, Scratch};

use super::super::cases::Cases;
use super::fatal;
use crate::context::Context;

/// A case: its name, its disk, and the text of the error.
type Case = (&'static str, Scratch, &'static str);

/// Adds an error of each kind.
pub(super) fn add(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let kernel = context.payload()?;
    let slots = [
        (
            "no kernel_lba",
            context
                .bootable()?
                .unset("a.kernel_lba")
                .unset("b.kernel_lba"),
            "kernel_lba is not set",
        ),
        (
            "kernel_lba is no number",
            both(context, "kernel_lba", "0x800")?,
            "kernel_lba is \"0x800\", not a decimal number",
        ),
        (
            "kernel beyond the disk",
            both(context, "kernel_lba", "131072")?,
            "ends beyond the disk",
        ),
        ("gzip", content(b"\x1f\x8b\x08"), "but a gzip file"),
        ("zeroes", content(&[0; 4096]), "but only zeroes"),
        (
            "kernel too big",
            content(kernel.clone().image_size(1 << 30).bytes()).blocks((2 << 30) / 512),
            "the kernel needs 1024.0 MiB in one piece",
        ),
        (
            "big-endian kernel",
            content(kernel.clone().flags(0b1011).bytes()),
            "the kernel is big-endian",
        ),
        (
            "kernel with pages of 16 KiB",
            content(kernel.flags(0b1100).bytes()),
            "the kernel uses pages of 16 KiB, which this CPU does not offer",
        ),
        (
            "initrd too big",
            with_initrd(context, 200_000, 200 << 20)?,
            "the initrd needs 200.0 MiB beside the kernel",
        ),
        (
            "initrd beyond the disk",
            with_initrd(context, 2_097_151, 1024)?,
            "the initrd at block 2097151 with 2 blocks ends beyond the disk",
        ),
        (
            "long command line",
            both(context, "kernel_args", &"y".repeat(3000))?,
            "the command line has 3000 bytes",
        ),
        (
            "slot that must not be booted",
            context
                .bootable()?
                .set("a.nerves_fw_platform", "x")
                .set("a.kernel_lba", 3000),
            "slot b: must not be booted",
        ),
    ];
    add_all(cases, context, slots)
}

/// Adds the other reasons.
pub(super) fn add_others(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let kernel = context.payload()?;
    let slots = [
        (
            "unknown contents",
            content(&[b'A'; 4096]),
            "not a raw arm64 Image (magic 0x41414141",
        ),
        (
            "odd offset",
            content(kernel.clone().text_offset(1).bytes()),
            "text_offset is 0x1, not a multiple of 4096",
        ),
        (
            "kernel without a size",
            content(kernel.clone().image_size(0).bytes()),
            "image_size is 0: a kernel from before v3.17",
        ),
        (
            "old kernel in all of the memory",
            content(kernel.flags(0b0010).image_size(126 << 20).bytes()).blocks((1 << 30) / 512),
            "the device tree needs ",
        ),
        (
            "empty initrd",
            with_initrd(context, 200_000, 0)?,
            "initrd_size is 0",
        ),
    ];
    add_all(cases, context, slots)
}

fn add_all(
    cases: &mut Cases<'_>,
    context: &Context,
    slots: impl IntoIterator<Item = Case>,
) -> Result<()> {
    for (index, (name, scratch, text)) in slots.into_iter().enumerate() {
        let path = context.path(&format!("slots{index}"));
        scratch.create(&path)?;
        let machine = context.machine().disk(Disk::new(path));
        fatal(cases, name, machine, text);
    }
    Ok(())
}

/// A good disk with another value for a variable of both slots.
fn both(context: &Context, name: &str, value: &str) -> Result<Scratch> {
    let scratch = context.bootable()?.set(&format!("a.{name}"), value);
    Ok(scratch.set(&format!("b.{name}"), value))
}

/// A disk with these bytes as the kernel of both slots.
fn content(bytes: &[u8]) -> Scratch {
    Scratch::empty()
        .set("nerves_fw_active", "a")
        .set("a.kernel_lba", KERNEL_A)
        .set("b.kernel_lba", KERNEL_A)
        .write(KERNEL_A, bytes)
}

/// A good disk of 1 GiB with an initrd for both slots.
fn with_initrd(context: &Context, lba: u64, size: u64) -> Result<Scratch> {
    Ok(both(context, "initrd_lba", &lba.to_string())?
        .set("a.initrd_size", size)
        .set("b.initrd_size", size)
        .blocks((1 << 30) / 512))
}
