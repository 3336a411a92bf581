// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of the device tree.
//!
//! QEMU itself never passes on some of these trees. They are in RAM beside QEMU's own, and a mutated
//! loader looks for its tree there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::payload::Payload;
use qemu_tests::harness::tree::Tree;
use qemu_tests::scratch::KERNEL_A;

use super::super::cases::Cases;
use super::super::mutant;
use super::{fatal, fatal_line};
use crate::context::{Context, machine};
use crate::memory::with_initrd;

/// The place of trees that QEMU does not pass on.
const BESIDE: u64 = 0x4400_0000;

/// The maximum number of reserved pieces of memory, the loader's own included.
const MAX_PIECES: u64 = 32;

/// Adds a missing tree, a damaged one, and two with too many pieces of memory.
pub(super) fn add(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    // QEMU passes no device tree on if it does not fit into 1 MiB.
    let large = context.tree()?.write(&context.path("large.dtb"), 600_000)?;
    let text = "no device tree at 0x40000000";
    fatal(cases, "no device tree", context.machine().dtb(large), text);

    let machine = beside(context, changed(context, Word::FirstToken, 0x1212_1212)?)?;
    let text = "corrupt device tree: an unknown token";
    fatal(cases, "damaged tree", machine, text);

    let machine = reserving(context, MAX_PIECES + 1)?;
    let text = "more than 32 separate pieces of memory. QEMU gives one";
    fatal(cases, "too many pieces", machine, text);
    // Without the hint to -dtb: the tree itself was read.
    let machine = reserving(context, MAX_PIECES)?;
    let text = "the device tree lists more than 32 separate pieces of memory";
    fatal_line(cases, "too many pieces with the loader", machine, text);
    Ok(())
}

/// Adds the other reasons.
pub(super) fn add_others(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let crowded = reserving(context, MAX_PIECES - 1)?.disk(disk.clone());
    let text = "slot b: the device tree lists more than 32 separate pieces of memory";
    fatal(cases, "too many pieces with the tree", crowded, text);
    for (name, node, text) in [
        (
            "half an entry",
            "spare@48000000 { device_type = \"memory\"; reg = <0 0x48000000 0>; };",
            "reg of 12 bytes is not a list of whole entries of 4 cells each",
        ),
        (
            "memory past the end",
            "spare@48000000 { device_type = \"memory\"; reg = <0xffffffff 0xfffff000 0 0x2000>; };",
            "0x2000 bytes at 0xfffffffffffff000 do not fit the address space",
        ),
        (
            "addresses of three cells",
            "reserved-memory { #address-cells = <3>; #size-cells = <2>; ranges; \
             some@48000000 { reg = <0 0 0x48000000 0 0x1000>; }; };",
            "addresses of 3 and sizes of 2 cells",
        ),
    ] {
        let dtb = write(context, name, &context.tree()?.node(node)?)?;
        fatal(cases, name, context.machine().dtb(dtb), text);
    }
    let tree = || context.tree();
    let no_memory = tree()?.replace("device_type = \"memory\"", "device_type = \"none\"")?;
    let no_chosen = tree()?.replace("chosen {", "unchosen {")?;
    for (name, dtb, text) in [
        (
            "impossible size",
            changed(context, Word::Size, 0x4000_0000)?,
            "the device tree at 0x44000000 says it has 1073741824 bytes",
        ),
        (
            "no memory",
            write(context, "no_memory", &no_memory)?,
            "the device tree has no memory node",
        ),
        (
            "no /chosen",
            write(context, "no_chosen", &no_chosen)?,
            "the device tree has no /chosen node",
        ),
        (
            "full tree",
            full(context)?,
            "bytes with the command line; Linux takes at most 2 MiB",
        ),
    ] {
        fatal(cases, name, beside(context, dtb)?.disk(disk.clone()), text);
    }
    let own = machine(&looking_at(context, 0x4010_0000)?);
    let text = "the address for it is not in RAM, or is the loader's own";
    fatal(cases, "tree in the loader", own, text);
    initrds(cases, context)
}

/// Returns a machine whose tree reserves `count` pieces of memory.
fn reserving(context: &Context, count: u64) -> Result<Machine> {
    let tree = (0..count).try_fold(context.tree()?, |tree, index| {
        tree.memreserve(0x4400_0000 + index * 0x2000, 0x1000)
    })?;
    let dtb = write(context, &format!("reserving_{count}"), &tree)?;
    Ok(context.machine().dtb(dtb))
}

fn write(context: &Context, name: &str, tree: &Tree) -> Result<PathBuf> {
    tree.write(&context.path(&format!("{name}.dtb")), 0)
}

/// Returns a machine with a tree beside QEMU's own, and a loader that takes it.
fn beside(context: &Context, dtb: PathBuf) -> Result<Machine> {
    Ok(machine(&looking_at(context, BESIDE)?).place(dtb, BESIDE))
}

/// A word of a DTB.
#[derive(Clone, Copy)]
enum Word {
    Size,
    FirstToken,
}

/// Returns QEMU's tree with one word changed.
fn changed(context: &Context, word: Word, value: u32) -> Result<PathBuf> {
    let dtb = write(context, "changed", &context.tree()?)?;
    let mut bytes = fs::read(&dtb)?;
    let at = match word {
        Word::Size => 4,
        Word::FirstToken => {
            let offset = bytes[8..12].iter();
            offset.fold(0, |offset, byte| offset << 8 | usize::from(*byte))
        }
    };
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    let path = context.path(&format!("changed_at_{at}.dtb"));
    fs::write(&path, bytes)?;
    Ok(path)
}

/// Returns QEMU's tree, so close to 2 MiB that the loader's own properties do not fit.
fn full(context: &Context) -> Result<PathBuf> {
    let tree = context.tree()?;
    let length = fs::read(write(context, "plain", &tree)?)?.len();
    let bulk = context.path("bulk");
    fs::write(&bulk, vec![0; (2 << 20) - 100 - length])?;
    let node = format!("bulk {{ bulk = /incbin/(\"{}\"); }};", bulk.display());
    write(context, "full", &tree.node(&node)?)
}

/// QEMU's initrd where a kernel cannot be, or cannot use it.
fn initrds(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let with_kernel = |name: &str, kernel: &Payload| -> Result<Machine> {
        let path = context.path(&format!("{name}.img"));
        let scratch = context.bootable()?.blocks((1 << 30) / 512);
        let scratch = scratch.write(KERNEL_A, kernel.bytes());
        scratch.set("b.kernel_lba", KERNEL_A).create(&path)?;
        Ok(with_initrd(context, 70_000)?.disk(Disk::new(path)))
    };
    let large = context.payload()?.image_size(40 << 20);
    let machine = with_kernel("large", &large)?;
    fatal(
        cases,
        "initrd in the way",
        machine,
        "QEMU's initrd at 0x42000000..",
    );
    // The kernel is before v4.6, and all memory before the initrd is reserved.
    let old = context.payload()?.flags(0b0010).image_size(2 << 20);
    let tree = context.tree()?.memreserve(0x4020_0000, 0x1e0_0000)?;
    let tree = tree.write(&context.path("reserved.dtb"), 0)?;
    let machine = with_kernel("old", &old)?.dtb(tree);
    fatal(
        cases,
        "initrd out of reach",
        machine,
        "is out of reach of the kernel at ",
    );
    Ok(())
}

/// Returns a loader that takes `address` for that of the device tree, as if QEMU had passed it.
fn looking_at(context: &Context, address: u64) -> Result<PathBuf> {
    // `mov x19, x0` and `movz x19, #0, lsl #16` (Arm ARM, C6.2, MOV and MOVZ).
    const KEEP_THE_PASSED_ONE: u32 = 0xaa00_03f3;
    const UPPER_HALF: u32 = 0xd2a0_0013;
    let loader = context.artifacts.loader();
    let first = mutant::symbol(&loader, "5reset5reset17h")?;
    let found = mutant::read(&loader, first)?;
    ensure!(found == KEEP_THE_PASSED_ONE, "{found:#x} at {first:#x}");
    let upper = u32::try_from(address >> 16)?;
    let mutant = context.path(&format!("looks_at_{address:x}.elf"));
    mutant::write(&loader, &mutant, first, UPPER_HALF | upper << 5)?;
    Ok(mutant)
}
