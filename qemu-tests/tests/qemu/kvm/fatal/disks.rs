// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks that fail, or do not answer.

use std::path::PathBuf;

use anyhow::Result;

use qemu_tests::harness::machine::{Bus, Disk};
use qemu_tests::scratch::KERNEL_A;

use super::super::cases::Cases;
use super::fatal;
use crate::context::Context;
use crate::memory::losing_its_initrd;

/// Adds a read error and a disk that does not answer.
pub(super) fn add(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let image = image(context)?;
    let machine = context.machine().disk(context.failing_read(&image, 40)?);
    let text = "read error at block 16 (256 blocks): I/O error";
    fatal(cases, "read error of the environment", machine, text);
    silent(cases, context, Bus::Mmio)
}

/// Adds the other reasons.
pub(super) fn add_others(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let image = image(context)?;
    let small = context.path("small");
    context.bootable()?.blocks(200).create(&small)?;
    for (name, disk, text) in [
        (
            "environment beyond the disk",
            Disk::new(&small),
            "ends beyond the disk, which has 200 blocks",
        ),
        (
            "blocks of 8192 bytes",
            Disk::new(&image).block_size(8192),
            "its blocks have 8192 bytes",
        ),
        (
            "read error of the kernels",
            context.failing_read(&image, KERNEL_A)?,
            "slot b: read error at block 2048",
        ),
    ] {
        fatal(cases, name, context.machine().disk(disk), text);
    }
    let machine = losing_its_initrd(context)?;
    let text = "was overwritten while the other slot was loaded";
    fatal(cases, "read error after the initrd is lost", machine, text);
    silent(cases, context, Bus::Pci)
}

/// Creates a disk with the same kernel in both slots.
fn image(context: &Context) -> Result<PathBuf> {
    let image = context.path("image");
    let scratch = context.bootable()?.set("b.kernel_lba", KERNEL_A);
    scratch.create(&image)?;
    Ok(image)
}

/// QEMU serves one byte per second, after the first request, so which one times out depends on the
/// host.
fn silent(cases: &mut Cases<'_>, context: &Context, bus: Bus) -> Result<()> {
    let disk = Disk::new(image(context)?).bus(bus);
    let disk = disk.drive_options("throttling.bps-total=1");
    let text = "no answer for 30 s from block ";
    fatal(cases, "silent disk", context.machine().disk(disk), text);
    Ok(())
}
