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

use super::super::cases::{Cases, host};
use super::super::mutant;
use super::{fatal, fatal_line};
use crate::context::{Context, machine};
use crate::memory::with_initrd;

/// The place of trees that QEMU does not pass on.
const BESIDE: u64 = 0x4400_0000;

/// The maximum number of reserved pieces of memory, the loader's own included.
const MAX_PIECES: u64 = 32;

pub(super) fn test(context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let mut cases = Cases::default();
    for (name, tree, text) in of_qemu(context)? {
        let path = context.path(&format!("{name}.dtb"));
        let machine = context.machine().disk(disk.clone());
        fatal(&mut cases, name, machine.dtb(tree.write(&path, 0)?), text);
    }
    let full = reserving(context.tree()?, MAX_PIECES)?.write(&context.path("full.dtb"), 0)?;
    // Without the hint to -dtb: the tree itself was read.
    let line = "the device tree lists more than 32 separate pieces of memory";
    let machine = context.machine().disk(disk.clone()).dtb(full);
    fatal_line(&mut cases, "too many pieces with the loader", machine, line);

    // QEMU passes no device tree on if it does not fit into 1 MiB.
    let large = context.tree()?.write(&context.path("large.dtb"), 600_000)?;
    let machine = context.machine().disk(disk.clone()).dtb(large);
    fatal(
        &mut cases,
        "no device tree",
        machine,
        "no device tree at 0x40000000",
    );
    beside(&mut cases, context, &disk)?;
    initrds(&mut cases, context)?;
    cases.run(&host()?, context)
}

/// Trees that `-dtb` passes on, after QEMU has written the memory and `/chosen`.
fn of_qemu(context: &Context) -> Result<[(&'static str, Tree, &'static str); 5]> {
    let tree = || context.tree();
    let memory = |reg: &str| {
        tree()?.node(&format!(
            "spare@48000000 {{ device_type = \"memory\"; reg = <{reg}>; }};"
        ))
    };
    Ok([
        (
            "too many pieces of memory",
            reserving(tree()?, MAX_PIECES + 1)?,
            "more than 32 separate pieces of memory. QEMU gives one",
        ),
        (
            "too many pieces with the tree",
            reserving(tree()?, MAX_PIECES - 1)?,
            "slot b: the device tree lists more than 32 separate pieces of memory",
        ),
        (
            "half an entry",
            memory("0 0x48000000 0")?,
            "reg of 12 bytes is not a list of whole entries of 4 cells each",
        ),
        (
            "memory past the end",
            memory("0xffffffff 0xfffff000 0 0x2000")?,
            "0x2000 bytes at 0xfffffffffffff000 do not fit the address space",
        ),
        (
            "addresses of three cells",
            tree()?.node(
                "reserved-memory { #address-cells = <3>; #size-cells = <2>; ranges; \
                 some@48000000 { reg = <0 0 0x48000000 0 0x1000>; }; };",
            )?,
            "addresses of 3 and sizes of 2 cells",
        ),
    ])
}

/// Reserves `count` pieces of memory.
fn reserving(tree: Tree, count: u64) -> Result<Tree> {
    (0..count).try_fold(tree, |tree, index| {
        tree.memreserve(0x4400_0000 + index * 0x2000, 0x1000)
    })
}

/// Trees at another place, where a mutated loader finds them.
fn beside(cases: &mut Cases<'_>, context: &Context, disk: &Disk) -> Result<()> {
    let tree = context.tree()?;
    let dtb = |name: &str, tree: Tree| tree.write(&context.path(name), 0);
    let no_memory = tree
        .clone()
        .replace("device_type = \"memory\"", "device_type = \"none\"")?;
    let no_chosen = tree.clone().replace("chosen {", "unchosen {")?;
    let good = fs::read(dtb("good", tree.clone())?)?;
    // So close to 2 MiB that the loader's own properties do not fit.
    let bulk = context.path("bulk");
    fs::write(&bulk, vec![0; (2 << 20) - 100 - good.len()])?;
    let large = tree.node(&format!(
        "bulk {{ bulk = /incbin/(\"{}\"); }};",
        bulk.display()
    ))?;
    let word = |at: usize| {
        good.iter()
            .skip(at)
            .take(4)
            .fold(0, |word, byte| word << 8 | usize::from(*byte))
    };
    let changed = |name: &str, at: usize, value: u32| -> Result<PathBuf> {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let path = context.path(name);
        fs::write(&path, bytes)?;
        Ok(path)
    };
    let loader = looking_at(context, BESIDE)?;
    for (name, tree, text) in [
        (
            "impossible size",
            changed("size", 4, 0x4000_0000)?,
            "the device tree at 0x44000000 says it has 1073741824 bytes",
        ),
        (
            "damaged tree",
            changed("damaged", word(8), 0x1212_1212)?,
            "corrupt device tree: an unknown token",
        ),
        (
            "no memory",
            dtb("no_memory", no_memory)?,
            "the device tree has no memory node",
        ),
        (
            "no /chosen",
            dtb("no_chosen", no_chosen)?,
            "the device tree has no /chosen node",
        ),
        (
            "large tree",
            dtb("large", large)?,
            "bytes with the command line; Linux takes at most 2 MiB",
        ),
    ] {
        let machine = machine(&loader).disk(disk.clone());
        fatal(cases, name, machine.place(tree, BESIDE), text);
    }
    let own: Machine = machine(&looking_at(context, 0x4010_0000)?);
    fatal(
        cases,
        "tree in the loader",
        own,
        "the address for it is not in RAM, or is the loader's own",
    );
    Ok(())
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
    let old = context.payload()?.flags(0b0010);
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
