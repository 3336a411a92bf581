// SPDX-License-Identifier: MIT OR Apache-2.0

//! Both slots of a disk fail for one reason.

use anyhow::Result;

use qemu_tests::harness::machine::Disk;
use qemu_tests::scratch::{KERNEL_A, Scratch};

use super::super::cases::Cases;
use super::super::hosts::without_vhe;
use super::fatal;
use crate::context::Context;

pub(super) fn test(context: &Context) -> Result<()> {
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
            "unknown contents",
            content(&[b'A'; 4096])?,
            "not a raw arm64 Image (magic 0x41414141",
        ),
        (
            "odd offset",
            content(kernel.clone().text_offset(1).bytes())?,
            "text_offset is 0x1, not a multiple of 4096",
        ),
        (
            "kernel without a size",
            content(kernel.clone().image_size(0).bytes())?,
            "image_size is 0: a kernel from before v3.17",
        ),
        (
            "old kernel in all of the memory",
            content(kernel.clone().flags(0b0010).image_size(126 << 20).bytes())?
                .blocks((1 << 30) / 512),
            "the device tree needs ",
        ),
        (
            "kernel too big",
            content(kernel.clone().image_size(1 << 30).bytes())?.blocks((2 << 30) / 512),
            "the kernel needs 1024.0 MiB in one piece",
        ),
        (
            "big-endian kernel",
            content(kernel.clone().flags(0b1011).bytes())?,
            "the kernel is big-endian",
        ),
        (
            "kernel with pages of 16 KiB",
            content(kernel.flags(0b1100).bytes())?,
            "the kernel uses pages of 16 KiB, which this CPU does not offer",
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
        ("empty initrd", with_initrd(200_000, 0)?, "initrd_size is 0"),
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
    // The Neoverse N1 offers pages of 16 KiB.
    cases.run(&without_vhe(3)?, context)
}
