// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bad disks and bad kernels: the loader reports its finding, with the value or offset, and powers
//! off.

use anyhow::{Result, ensure};

use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::payload::Payload;
use qemu_tests::scratch::{KERNEL_A, KERNEL_B, Scratch};

use crate::context::{Context, fatal};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 26] = [
        ("pci_disk_without_modern_registers", |context| {
            let options = [
                "-device",
                "virtio-blk-pci,drive=pci,disable-modern=on,disable-legacy=off",
            ];
            let lines = pci(context, &options)?;
            ensure!(
                lines[0] == "pci@00:01.0: no virtio 1.0 registers: leave out disable-modern=on",
                "{lines:#?}"
            );
            Ok(())
        }),
        ("no_disk_at_el3_powers_off_by_the_pin", |context| {
            let lines = context.fatal(context.machine().machine_option("secure=on").cpus(4))?;
            ensure!(lines[0].starts_with("no block device: add"), "{lines:#?}");
            Ok(())
        }),
        ("no_disk", no_disk),
        ("no_environment_names_each_disk", no_environment),
        ("environment_read_error", environment_read_error),
        ("silent_disk_legacy", |context| {
            silent_disk(context, |machine| machine)
        }),
        ("silent_disk_modern", |context| {
            silent_disk(context, Machine::modern_transports)
        }),
        ("active_slot_not_set", |context| {
            bad_active(context, |disk| disk, "nerves_fw_active is not set")
        }),
        ("active_slot_illegal", |context| {
            let message = "nerves_fw_active is \"c\", neither a nor b";
            bad_active(context, |disk| disk.set("nerves_fw_active", "c"), message)
        }),
        ("kernel_lba_missing", |context| {
            both(context, |disk| disk, "kernel_lba is not set")
        }),
        ("kernel_lba_not_a_number", |context| {
            each(
                context,
                |disk| lba(disk, "0x800"),
                "kernel_lba is \"0x800\", not a decimal number",
            )
        }),
        ("kernel_lba_beyond_the_disk", |context| {
            let message = "the kernel at block 131072 with 1 blocks ends beyond the disk, which has 131072 blocks";
            each(context, |disk| lba(disk, "131072"), message)
        }),
        ("kernel_longer_than_the_disk", |context| {
            let message = "the kernel at block 131071 with 16384 blocks ends beyond the disk, which has 131072 blocks";
            let kernel = context.payload()?.image_size(8 << 20);
            each(
                context,
                |disk| lba(disk, "131071").write(131_071, &kernel.bytes()[..512]),
                message,
            )
        }),
        ("kernel_gzip", |context| {
            content(context, b"\x1f\x8b\x08", "a gzip file")
        }),
        ("kernel_zboot", |context| {
            content(context, b"MZ\0\0zimg", "an EFI zboot kernel")
        }),
        ("kernel_elf", |context| {
            content(context, b"\x7fELF\x02\x01\x01", "an ELF file")
        }),
        ("kernel_zeroes", |context| {
            content(context, &[0; 4096], "only zeroes")
        }),
        ("kernel_ones", |context| {
            content(context, &[0xff; 4096], "only 0xff")
        }),
        ("kernel_of_no_known_kind", |context| {
            let message = "kernel_lba 2048: not a raw arm64 Image (magic 0x41414141 at offset 56, not 0x644d5241)";
            slot(context, &[b'A'; 4096], message)
        }),
        ("kernel_too_big_for_ram", |context| {
            let message = "the kernel needs 1024.0 MiB in one piece at a 2 MiB boundary, and the largest free piece of \
                           RAM has 126.";
            let kernel = context.payload()?.image_size(1 << 30);
            let long = |disk: Scratch| disk.blocks((2 << 30) / 512);
            with_kernel(context, &kernel, long, message)
        }),
        ("initrd_too_big_for_ram", |context| {
            let message = "the initrd needs 200.0 MiB beside the kernel, and the largest free piece of RAM has";
            let initrd = |disk: Scratch| {
                let disk = disk
                    .blocks((1 << 30) / 512)
                    .set("a.initrd_lba", 200_000)
                    .set("b.initrd_lba", 200_000);
                disk.set("a.initrd_size", 200 << 20)
                    .set("b.initrd_size", 200 << 20)
            };
            with_kernel(context, &context.payload()?, initrd, message)
        }),
        ("initrd_beyond_the_disk", |context| {
            let message = "the initrd at block 131071 with 2 blocks ends beyond the disk, which has 131072 blocks";
            let initrd = |disk: Scratch| {
                let disk = disk
                    .set("a.initrd_lba", 131_071)
                    .set("b.initrd_lba", 131_071);
                disk.set("a.initrd_size", 1024).set("b.initrd_size", 1024)
            };
            with_kernel(context, &context.payload()?, initrd, message)
        }),
        ("kernel_big_endian", |context| {
            let kernel = context.payload()?.flags(0b1011);
            with_kernel(
                context,
                &kernel,
                |disk| disk,
                "kernel_lba 2048: the kernel is big-endian",
            )
        }),
        ("kernel_of_16_kib_pages", |context| {
            let kernel = context.payload()?.flags(0b1100);
            let message =
                "kernel_lba 2048: the kernel uses pages of 16 KiB, which this CPU does not offer";
            with_kernel(context, &kernel, |disk| disk, message)
        }),
        ("command_line_too_long_by_append", |context| {
            let disk = context.disk(&context.bootable()?)?;
            let append = "x".repeat(2036);
            let lines = context.fatal(context.machine().append(&append).disk(disk))?;
            names_both(
                &lines,
                "the command line has 2048 bytes; Linux takes at most 2047",
            )
        }),
        ("command_line_too_long_in_the_environment", |context| {
            let args = "y".repeat(3000);
            let long = |disk: Scratch| disk.set("a.kernel_args", &args).set("b.kernel_args", &args);
            each(
                context,
                long,
                "the command line has 3000 bytes; Linux takes at most 2047",
            )
        }),
    ];
    named("errors", tests)
}

fn no_disk(context: &Context) -> Result<()> {
    let lines = context.fatal(context.machine())?;
    let message = "no block device: add -drive if=none";
    ensure!(
        lines.len() == 1 && lines[0].starts_with(message),
        "{lines:#?}"
    );
    Ok(())
}

/// Attaches a good disk to PCI in a way that the loader refuses; returns the fatal lines.
fn pci(context: &Context, device: &[&str]) -> Result<Vec<String>> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    let drive = format!("if=none,id=pci,format=raw,file={}", image.display());
    let machine = context
        .machine()
        .arguments(["-drive", &drive])
        .arguments(device);
    context.fatal(machine)
}

/// Three disks without a valid environment, each for another reason, are listed in command-line
/// order.
fn no_environment(context: &Context) -> Result<()> {
    let scratch = context.bootable()?;
    let images = [
        ("small", scratch.clone().blocks(200)),
        ("crc", scratch.clone().stored_crc(0x1234_5678)),
        ("zeroes", scratch.clone().without_env()),
    ];
    let mut machine = context.machine();
    for (name, image) in &images {
        image.create(&context.path(name))?;
        machine = machine.disk(Disk::new(context.path(name)));
    }
    let block = scratch.env_block()?;
    let right = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    let of_zeroes = crc32fast::hash(&[0; (128 << 10) - 4]);
    let lines = context.fatal(machine)?;
    let expected = [
        "mmio@a003e00: the environment at block 16 with 256 blocks ends beyond the disk, which has 200 blocks"
            .to_owned(),
        format!("mmio@a003c00: environment at block 16: bad CRC: stored 0x12345678, computed {right:#010x}"),
        format!("mmio@a003a00: environment at block 16: bad CRC: stored 0x00000000, computed {of_zeroes:#010x}"),
    ];
    ensure!(
        lines.len() == 4 && lines[..3] == expected,
        "{lines:#?} is not {expected:#?}"
    );
    ensure!(
        lines[3].starts_with("none of 3 block devices has a valid environment: make one with"),
        "{lines:#?}"
    );
    Ok(())
}

/// QEMU's blkdebug driver fails the read of one block.
fn environment_read_error(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    context.bootable()?.create(&image)?;
    let disk = context.failing_read(&image, 40)?;
    let lines = context.fatal(context.machine().disk(disk))?;
    ensure!(
        lines[0].starts_with("mmio@a003e00: read error at block 16 (256 blocks): "),
        "{lines:#?}"
    );
    Ok(())
}

/// QEMU serves one byte per second, and the guest's clock runs so fast that 30 guest seconds take
/// less than one host second.
fn silent_disk(context: &Context, change: fn(Machine) -> Machine) -> Result<()> {
    let disk = context
        .disk(&context.bootable()?)?
        .drive_options("throttling.bps-total=1");
    let machine = change(context.machine())
        .disk(disk)
        .arguments(["-icount", "shift=10,sleep=off"]);
    let lines = context.fatal(machine)?;
    // QEMU does not throttle the first request, so which one times out depends on the host.
    let said = lines[0].contains("no answer for 30 s from block 16 (256 blocks): given up")
        || lines[0].contains("slot a: no answer for 30 s from block 2048 (8 blocks): given up");
    ensure!(said, "{lines:#?}");
    Ok(())
}

/// An environment whose active slot is missing or invalid, and without other variables: the loader
/// warns with `message`, then reports why neither slot can be booted.
fn bad_active(
    context: &Context,
    change: impl FnOnce(Scratch) -> Scratch,
    message: &str,
) -> Result<()> {
    let machine = context
        .machine()
        .disk(context.disk(&change(Scratch::empty()))?);
    let mut running = machine.start()?;
    running.expect(&format!("little-loader: warning: {message}"))?;
    names_both(&fatal(running)?, "kernel_lba is not set")
}

/// An environment with only an active slot, changed by `change`: both slots fail with `message`.
fn both(context: &Context, change: impl FnOnce(Scratch) -> Scratch, message: &str) -> Result<()> {
    let disk = context.disk(&change(Scratch::empty().set("nerves_fw_active", "a")))?;
    names_both(&context.fatal(context.machine().disk(disk))?, message)
}

/// A good disk, changed by `change`: both slots fail with `message`.
fn each(context: &Context, change: impl FnOnce(Scratch) -> Scratch, message: &str) -> Result<()> {
    let disk = context.disk(&change(context.bootable()?))?;
    names_both(&context.fatal(context.machine().disk(disk))?, message)
}

fn lba(disk: Scratch, value: &str) -> Scratch {
    disk.set("a.kernel_lba", value).set("b.kernel_lba", value)
}

/// Both slots contain `bytes`, which are not an Image: the loader identifies them as `what`.
fn content(context: &Context, bytes: &[u8], what: &str) -> Result<()> {
    slot(
        context,
        bytes,
        &format!("kernel_lba 2048: not a raw arm64 Image but {what}"),
    )
}

/// Both slots contain `bytes` in place of a kernel, and fail with `message`.
fn slot(context: &Context, bytes: &[u8], message: &str) -> Result<()> {
    let scratch = lba(Scratch::empty(), &KERNEL_A.to_string()).write(KERNEL_A, bytes);
    let disk = context.disk(&scratch.set("nerves_fw_active", "a"))?;
    names_both(&context.fatal(context.machine().disk(disk))?, message)
}

/// A good disk with `kernel` in both slots, changed by `change`: both slots fail with `message`.
fn with_kernel(
    context: &Context,
    kernel: &Payload,
    change: impl FnOnce(Scratch) -> Scratch,
    message: &str,
) -> Result<()> {
    let scratch = context
        .bootable()?
        .write(KERNEL_A, kernel.bytes())
        .write(KERNEL_B, kernel.bytes());
    each_of(context, change(scratch), message)
}

fn each_of(context: &Context, scratch: Scratch, message: &str) -> Result<()> {
    let disk = context.disk(&scratch.set("b.kernel_lba", KERNEL_A))?;
    names_both(&context.fatal(context.machine().disk(disk))?, message)
}

/// Checks that slot a and then slot b fail with `message`, and that the last line says that neither
/// can be booted.
fn names_both(lines: &[String], message: &str) -> Result<()> {
    ensure!(lines.len() == 3, "not three lines: {lines:#?}");
    for (line, slot) in lines.iter().zip(["slot a: ", "slot b: "]) {
        let said = line
            .strip_prefix(slot)
            .is_some_and(|said| said.starts_with(message));
        ensure!(said, "{slot}{message:?} is missing:\n{lines:#?}");
    }
    ensure!(
        lines[2].starts_with(
            "no slot can be booted by the environment at block 16 of mmio@a003e00: write"
        ),
        "{lines:#?}"
    );
    Ok(())
}
