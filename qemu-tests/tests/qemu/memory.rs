// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory of many sizes and layouts: kernel, initrd and device tree go to permitted places, or the
//! loader reports why it found none.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use qemu_tests::harness::machine::Machine;
use qemu_tests::harness::payload::pattern;
use qemu_tests::harness::report::Report;
use qemu_tests::harness::tree::Tree;
use qemu_tests::scratch::{KERNEL_A, KERNEL_B, Scratch};

use crate::context::{Context, console_text, machine, report};
use crate::{Scenario, Test, named};

const MIB: u64 = 1 << 20;

/// The lowest place for a kernel, after the device tree and the loader.
const FIRST: u64 = 0x4020_0000;

/// The address at which QEMU puts the initrd, followed by the device tree, with the flat binary and
/// 64 MiB.
const MIDDLE_OF_64_MIB: u64 = 0x4200_0000;

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 21] = [
        ("odd_sizes", odd_sizes),
        ("numa_nodes_of_unequal_size", numa),
        ("memreserve", |context| {
            honoured(context, |tree| tree.memreserve(FIRST, 2 * MIB))
        }),
        ("reserved_memory", |context| {
            honoured(context, |tree| reserved(tree, ""))
        }),
        ("reserved_memory_without_a_map", |context| {
            honoured(context, |tree| reserved(tree, "no-map;"))
        }),
        ("reserved_memory_that_is_disabled", disabled_reservation),
        ("memory_node_that_is_disabled", disabled_memory),
        ("kernel_too_big_for_what_is_left", all_reserved),
        ("device_tree_in_what_is_reserved_is_moved", tree_reserved),
        ("big_kernel_by_elf", |context| {
            big_kernel(context, &context.artifacts.loader())
        }),
        (
            "big_kernel_by_flat_binary_moves_the_device_tree",
            |context| big_kernel(context, &context.artifacts.flat_loader()),
        ),
        (
            "other_slot_after_the_device_tree_was_moved",
            moved_then_failed,
        ),
        ("qemus_initrd_written_over_is_not_booted", initrd_lost),
        (
            "initrd_by_qemu_is_used_without_one_of_the_slot",
            initrd_used,
        ),
        (
            "initrd_by_qemu_is_ignored_with_one_of_the_slot",
            initrd_ignored,
        ),
        ("initrd_by_qemu_in_the_way_is_named", initrd_in_the_way),
        ("initrd_addresses_of_one_cell", |context| {
            initrd_cells(context, "<0x44000000>", "<0x44001234>")
        }),
        ("initrd_addresses_of_two_cells", |context| {
            initrd_cells(context, "<0 0x44000000>", "<0 0x44001234>")
        }),
        ("given_device_tree_by_flat_binary", given_by_flat_binary),
        ("text_offset_of_older_kernels", text_offset),
        ("text_offset_within_a_page_falls_back", bad_text_offset),
    ];
    named("memory", tests)
}

/// Sizes in KiB, which QEMU rounds up to a multiple of 8.
fn odd_sizes(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    for kib in [
        64 << 10,
        65 << 10,
        127 << 10,
        129 << 10,
        (129 << 10) + 8,
        131_073,
        1023 << 10,
        3000 << 10,
        5 << 20,
        16 << 20,
    ] {
        // With the flat binary the first MiB is free, and the payload fits into it.
        for (loader, first) in [
            (context.artifacts.loader(), FIRST),
            (context.artifacts.flat_loader(), 0x4000_0000),
        ] {
            let machine = machine(&loader)
                .arguments(["-m", &format!("{kib}K")])
                .disk(disk.clone());
            let report = report(&machine).with_context(|| format!("{kib} KiB"))?;
            ensure!(
                report.number("ram")? == u64::next_multiple_of(kib, 8) << 10,
                "{kib} KiB: {report:?}"
            );
            ensure!(report.number("base")? == first, "{kib} KiB: {report:?}");
        }
    }
    Ok(())
}

/// The kernel spans the boundary between two nodes.
fn numa(context: &Context) -> Result<()> {
    let length = 40 << 20;
    let payload = context.payload()?.append(length);
    let scratch = big(context.bootable()?).write(KERNEL_A, payload.bytes());
    let machine = context
        .machine()
        .cpus(2)
        .arguments(["-m", "131M"])
        .arguments(["-object", "memory-backend-ram,id=first,size=17M"])
        .arguments(["-object", "memory-backend-ram,id=second,size=114M"])
        .arguments(["-numa", "node,memdev=first,cpus=0"])
        .arguments(["-numa", "node,memdev=second,cpus=1"])
        .disk(context.disk(&scratch)?);
    let report = report(&machine)?;
    ensure!(report.number("ram")? == 131 * MIB, "{report:?}");
    ensure!(report.number("base")? == FIRST, "{report:?}");
    arrived(&report, length)
}

/// Boots with a changed device tree, and with a pattern of 2 MiB at the kernel's usual address.
fn with_tree(context: &Context, change: impl FnOnce(Tree) -> Result<Tree>) -> Result<Report> {
    let bytes = pattern(2 << 20);
    let file = context.path("pattern");
    fs::write(&file, &bytes)?;
    let tree = change(context.tree()?)?;
    let machine = context
        .machine()
        .dtb(tree.write(&context.path("given.dtb"), 0)?)
        .place(file, FIRST)
        .disk(context.disk(&context.bootable()?)?);
    report(&machine)
}

/// Adds a node that reserves the 2 MiB of [`with_tree`].
fn reserved(tree: Tree, property: &str) -> Result<Tree> {
    tree.node(&format!(
        "reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges;
            kept@{FIRST:x} {{ reg = <0 {FIRST:#x} 0 0x200000>; {property} }};
            anywhere {{ size = <0 0x100000>; }}; }};"
    ))
}

/// Reserved memory keeps its contents, and the kernel is placed after it.
fn honoured(context: &Context, change: impl FnOnce(Tree) -> Result<Tree>) -> Result<()> {
    let report = with_tree(context, change)?;
    let found = report.number(&format!("reserved@{FIRST:#x}"))?;
    let right = crc32fast::hash(&pattern(2 << 20));
    ensure!(found == u64::from(right), "not {right:#010x}: {report:?}");
    ensure!(report.number("base")? == FIRST + 2 * MIB, "{report:?}");
    Ok(())
}

fn disabled_reservation(context: &Context) -> Result<()> {
    let report = with_tree(context, |tree| reserved(tree, "status = \"disabled\";"))?;
    ensure!(report.number("base")? == FIRST, "{report:?}");
    Ok(())
}

/// Returns the fatal lines of a boot with this tree and, in both slots, a kernel that needs
/// `image_size` bytes of memory.
fn no_room(context: &Context, tree: &Tree, image_size: u64) -> Result<Vec<String>> {
    let kernel = context.payload()?.image_size(image_size);
    let scratch = big(context.bootable()?)
        .write(KERNEL_A, kernel.bytes())
        .set("b.kernel_lba", KERNEL_A);
    let machine = context
        .machine()
        .dtb(tree.write(&context.path("given.dtb"), 0)?)
        .disk(context.disk(&scratch)?);
    context.fatal(machine)
}

/// The kernel would fit if the disabled RAM were used. QEMU replaces nodes whose name begins with
/// "memory", so this one has another name.
fn disabled_memory(context: &Context) -> Result<()> {
    let tree = context.tree()?.node(
        "spare@48000000 { device_type = \"memory\"; status = \"disabled\"; reg = <0 0x48000000 0 0x8000000>; };",
    )?;
    let lines = no_room(context, &tree, 130 << 20)?;
    let message = "slot a: the kernel needs 130.0 MiB in one piece at a 2 MiB boundary, and the largest free piece of \
                   RAM has 126.";
    ensure!(
        lines[0].starts_with(message) && lines[0].ends_with("(RAM: 128.0 MiB); raise -m"),
        "{lines:#?}"
    );
    Ok(())
}

/// A reservation in the middle of RAM leaves no piece that is large enough; the message has both
/// sizes.
fn all_reserved(context: &Context) -> Result<()> {
    let tree = context.tree()?.memreserve(0x4400_0000, 4096)?;
    let lines = no_room(context, &tree, 70 << 20)?;
    ensure!(
        lines[0].contains("the kernel needs 70.0 MiB") && lines[0].contains("RAM has 63.9 MiB"),
        "{lines:#?}"
    );
    Ok(())
}

/// The device tree reserves the memory in which QEMU put it: the loader moves it.
fn tree_reserved(context: &Context) -> Result<()> {
    let report = with_tree(context, |tree| tree.memreserve(0x4000_0000, MIB))?;
    let dtb = report.number("dtb")?;
    ensure!((0x4010_0000..FIRST).contains(&dtb), "{report:?}");
    ensure!(report.number("base")? == FIRST, "{report:?}");
    Ok(())
}

/// Enlarges a disk to 512 MiB, for large kernels.
fn big(scratch: Scratch) -> Scratch {
    scratch.blocks((512 << 20) / 512)
}

/// Checks that all bytes appended to the payload are in memory.
fn arrived(report: &Report, length: usize) -> Result<()> {
    let right = crc32fast::hash(&pattern(length));
    ensure!(
        report.number("appended")? == length as u64
            && report.number("appended_crc")? == u64::from(right),
        "not {right:#010x}: {report:?}"
    );
    Ok(())
}

/// A kernel of 40 MiB in a guest with 64 MiB.
fn big_kernel(context: &Context, loader: &Path) -> Result<()> {
    let length = 40 << 20;
    let payload = context.payload()?.append(length);
    let scratch = big(context.bootable()?).write(KERNEL_A, payload.bytes());
    let machine = machine(loader)
        .memory_mib(64)
        .append("from=qemu")
        .disk(context.disk(&scratch)?);
    let report = report(&machine)?;
    ensure!(report.number("base")? == FIRST, "{report:?}");
    ensure!(report.number("dtb")? == 0x4000_0000, "{report:?}");
    ensure!(
        report.get("bootargs")? == "test.slot=a from=qemu",
        "{report:?}"
    );
    arrived(&report, length)
}

/// The disk fails while the loader reads a kernel to the device tree's old place: slot b still gets
/// the whole text of `-append`.
fn moved_then_failed(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    let payload = context.payload()?.append(40 << 20);
    let other = 200_000;
    big(context.bootable()?)
        .write(KERNEL_A, payload.bytes())
        .set("b.kernel_lba", other)
        .write(other, context.payload()?.bytes())
        .create(&image)?;
    let disk = context.failing_read(&image, KERNEL_A + (39 << 20) / 512)?;
    let machine = machine(&context.artifacts.flat_loader())
        .memory_mib(64)
        .append("from=qemu")
        .disk(disk);
    let serial = console_text(&machine)?;
    ensure!(serial.contains("slot a: read error at block"), "{serial}");
    let report = Report::parse(&serial)?;
    ensure!(
        report.get("bootargs")? == "test.slot=b from=qemu",
        "{report:?}"
    );
    ensure!(report.get("reason")? == "fallback", "{report:?}");
    Ok(())
}

/// Slot a has its own initrd, and its kernel has overwritten QEMU's when the disk fails: slot b is
/// not booted with the damaged one.
fn initrd_lost(context: &Context) -> Result<()> {
    let lines = context.fatal(losing_its_initrd(context)?)?;
    ensure!(
        lines[0].starts_with("slot a: read error at block")
            && lines[1].starts_with("slot b: QEMU's initrd at 0x42000000..")
            && lines[1].contains(" was overwritten while the other slot was loaded"),
        "{lines:#?}"
    );
    Ok(())
}

/// Returns the machine of [`initrd_lost`].
pub(crate) fn losing_its_initrd(context: &Context) -> Result<Machine> {
    let image = context.path("losing.img");
    let payload = context.payload()?.append(31 << 20);
    let (initrd, other) = (KERNEL_A + (33 << 20) / 512, 200_000);
    big(context.bootable()?)
        .write(KERNEL_A, payload.bytes())
        .set("a.initrd_lba", initrd)
        .set("a.initrd_size", 10 << 20)
        .set("b.kernel_lba", other)
        .write(other, context.payload()?.bytes())
        .create(&image)?;
    let disk = context.failing_read(&image, initrd + (9 << 20) / 512)?;
    Ok(with_initrd(context, 70_000)?.disk(disk))
}

/// Returns a machine with the flat binary, 64 MiB, and `-initrd` with a file of `length` bytes.
pub(crate) fn with_initrd(context: &Context, length: usize) -> Result<Machine> {
    let file = context.path("initrd");
    fs::write(&file, pattern(length))?;
    Ok(machine(&context.artifacts.flat_loader())
        .memory_mib(64)
        .append("from=qemu")
        .initrd(file))
}

fn initrd_used(context: &Context) -> Result<()> {
    let length = (3 << 20) + 77;
    let disk = context.disk(&context.bootable()?)?;
    let report = report(&with_initrd(context, length)?.disk(disk))?;
    ensure!(
        report.get("initrd")?.starts_with("0x42000000.."),
        "{report:?}"
    );
    initrd_is(&report, length)?;
    ensure!(
        report.get("bootargs")? == "test.slot=a from=qemu",
        "{report:?}"
    );
    Ok(())
}

fn initrd_is(report: &Report, length: usize) -> Result<()> {
    let right = crc32fast::hash(&pattern(length));
    let found = report.number("initrd_crc")?;
    ensure!(found == u64::from(right), "not {right:#010x}: {report:?}");
    Ok(())
}

/// The memory of the ignored initrd is free: the kernel is placed over it.
fn initrd_ignored(context: &Context) -> Result<()> {
    let (length, own) = (40 << 20, 1 << 20);
    let payload = context.payload()?.append(length);
    let initrd_lba = 300_000;
    let scratch = big(context.bootable()?)
        .write(KERNEL_A, payload.bytes())
        .set("a.initrd_lba", initrd_lba)
        .set("a.initrd_size", own)
        .write(initrd_lba, &pattern(own));
    let machine = with_initrd(context, 3 << 20)?.disk(context.disk(&scratch)?);
    let report = report(&machine)?;
    initrd_is(&report, own)?;
    let base = report.number("base")?;
    ensure!(
        base < MIDDLE_OF_64_MIB && MIDDLE_OF_64_MIB < base + length as u64,
        "{report:?}"
    );
    arrived(&report, length)
}

fn initrd_in_the_way(context: &Context) -> Result<()> {
    let kernel = context.payload()?.image_size(40 << 20);
    let scratch = big(context.bootable()?)
        .write(KERNEL_A, kernel.bytes())
        .write(KERNEL_B, kernel.bytes());
    let machine = with_initrd(context, 3 << 20)?.disk(context.disk(&scratch)?);
    let lines = context.fatal(machine)?;
    let message = "the kernel needs 40.0 MiB in one piece at a 2 MiB boundary, and QEMU's initrd at \
                   0x42000000..0x42300000 is in the way (RAM: 64.0 MiB); raise -m, or put the initrd on the disk";
    ensure!(
        lines[0] == format!("slot a: {message}") && lines[1] == format!("slot b: {message}"),
        "{lines:#?}"
    );
    Ok(())
}

/// Initrd addresses in one or two cells, as different versions of QEMU write them. `-dtb` passes
/// the tree.
fn initrd_cells(context: &Context, start: &str, end: &str) -> Result<()> {
    let file = context.path("initrd");
    fs::write(&file, pattern(0x1234))?;
    let tree = context.tree()?.chosen(&format!(
        "linux,initrd-start = {start}; linux,initrd-end = {end};"
    ))?;
    // Long enough to overwrite the initrd if the loader did not know its address.
    let length = 60 << 20;
    let payload = context.payload()?.append(length);
    let scratch = big(context.bootable()?).write(KERNEL_A, payload.bytes());
    let machine = context
        .machine()
        .memory_mib(256)
        .dtb(tree.write(&context.path("given.dtb"), 0)?)
        .place(file, 0x4400_0000)
        .disk(context.disk(&scratch)?);
    let report = report(&machine)?;
    initrd_is(&report, 0x1234)?;
    ensure!(
        report.get("initrd")? == "0x44000000..0x44001234",
        "{report:?}"
    );
    arrived(&report, length)
}

/// QEMU adds no free space to a tree given by `-dtb`, and writes `-append` and `-initrd` into it.
fn given_by_flat_binary(context: &Context) -> Result<()> {
    let tree = context.tree()?;
    let disk = context.disk(&context.bootable()?)?;
    for padding in [0, 8, 4096, 600_000] {
        let given = tree.write(&context.path("given.dtb"), padding)?;
        let machine = with_initrd(context, 12_345)?.dtb(given).disk(disk.clone());
        let report = report(&machine).with_context(|| format!("padding {padding}"))?;
        ensure!(
            report.get("bootargs")? == "test.slot=a from=qemu",
            "{report:?}"
        );
        initrd_is(&report, 12_345)?;
    }
    Ok(())
}

fn text_offset(context: &Context) -> Result<()> {
    for offset in [0x8_0000, 0x1000, 0x1f_f000] {
        let payload = context.payload()?.text_offset(offset);
        let scratch = context.bootable()?.write(KERNEL_A, payload.bytes());
        let machine = context.machine().disk(context.disk(&scratch)?);
        let report = report(&machine).with_context(|| format!("{offset:#x}"))?;
        let base = report.number("base")?;
        ensure!(
            base >= FIRST - 2 * MIB && (base - offset).is_multiple_of(2 * MIB),
            "{report:?}"
        );
    }
    Ok(())
}

fn bad_text_offset(context: &Context) -> Result<()> {
    let payload = context.payload()?.text_offset(0x8_0040);
    let scratch = context.bootable()?.write(KERNEL_A, payload.bytes());
    let machine = context.machine().disk(context.disk(&scratch)?);
    let serial = console_text(&machine)?;
    let message = "little-loader: warning: slot a: kernel_lba 2048: text_offset is 0x80040, not a multiple of 4096";
    ensure!(serial.contains(message), "{serial}");
    let report = Report::parse(&serial)?;
    ensure!(report.get("bootargs")? == "test.slot=b", "{report:?}");
    Ok(())
}
