// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks that fail, or do not answer.

use anyhow::Result;

use qemu_tests::harness::kvm_host::Guest;
use qemu_tests::harness::machine::{Bus, Disk};
use qemu_tests::scratch::KERNEL_A;

use super::super::cases::{Cases, host};
use super::{fatal, stopped};
use crate::context::Context;
use crate::memory::losing_its_initrd;

/// The time of an instruction of the host and its guests: 2^5 ns.
const SHIFT: u8 = 5;

pub(super) fn test(context: &Context) -> Result<()> {
    let mut cases = Cases::default();
    let image = context.path("image");
    context
        .bootable()?
        .set("b.kernel_lba", KERNEL_A)
        .create(&image)?;
    for (name, block, text) in [
        (
            "read error of the environment",
            40,
            "read error at block 16 (256 blocks): I/O error",
        ),
        (
            "read error of the kernel",
            KERNEL_A,
            "slot b: read error at block 2048",
        ),
    ] {
        let disk = context.failing_read(&image, block)?;
        fatal(&mut cases, name, context.machine().disk(disk), text);
    }
    let small = context.path("small");
    context.bootable()?.blocks(200).create(&small)?;
    for (name, disk, text) in [
        (
            "environment beyond the disk",
            Disk::new(&small),
            "ends beyond the disk, which has 200 blocks",
        ),
        (
            "large blocks",
            Disk::new(&image).block_size(8192),
            "its blocks have 8192 bytes",
        ),
    ] {
        fatal(&mut cases, name, context.machine().disk(disk), text);
    }
    fatal(
        &mut cases,
        "read error after QEMU's initrd was overwritten",
        losing_its_initrd(context)?,
        "was overwritten while the other slot was loaded",
    );
    // QEMU serves one byte per second, after the first request, so which one times out depends on
    // the host.
    for bus in [Bus::Mmio, Bus::Pci] {
        let disk = Disk::new(&image).bus(bus);
        let disk = disk.drive_options("throttling.bps-total=1");
        let guest = Guest::new(format!("silent, {bus:?}"), context.machine().disk(disk));
        cases.guest(guest, |ended| {
            stopped(ended, "no answer for 30 s from block ")
        });
    }
    cases.run(&host()?.instruction_time(SHIFT), context)
}
