// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of the machine, its command line and the loader itself.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};
use little_loader_core::settings::SYMBOL;

use qemu_tests::harness::gdb::Access;
use qemu_tests::harness::machine::{Bus, Disk, Machine};

use super::super::cases::Cases;
use super::super::mutant;
use super::fatal;
use crate::context::{Context, machine};
use crate::disks::loader_with_pair;
use crate::overrides::{malformed_values, with};

/// Adds an error of each kind.
pub(super) fn add(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let good = || context.machine().disk(disk.clone());
    let loader = context.artifacts.loader();
    // An undefined instruction is all zeroes (Arm ARM, C6.2.443).
    let undefined = context.path("undefined.elf");
    let start = mutant::symbol(&loader, "little_loader5start17h")?;
    mutant::write(&loader, &undefined, start, 0)?;
    let no_crc32 = context.path("no-crc32.elf");
    mutant::rewrite(&loader, &no_crc32, without_features)?;
    let panicking = panicking(context, &good())?;

    for (name, machine, text) in [
        ("no disk", context.machine(), "no block device: add"),
        (
            "no environment",
            context.machine().disk(zeroes(context)?),
            "none of 1 block devices has a valid environment",
        ),
        (
            "override of the slot",
            with(good(), "slot", "c"),
            "slot is \"c\", neither a nor b",
        ),
        (
            "long -append",
            good().append(&"x".repeat(2036)),
            "the command line has 2048 bytes",
        ),
        (
            "settings",
            with_settings(context, "no_size", &[(ENV_SIZE, 0)])?.disk(disk.clone()),
            "built-in settings: the environment's size is 0 bytes",
        ),
        (
            "no CRC32",
            machine(&no_crc32).disk(disk.clone()),
            "this CPU has no CRC32 instructions",
        ),
        (
            "panic",
            machine(&panicking).disk(disk.clone()),
            "bug in the loader, please report: panic at loader/src/machine/memory.rs:",
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
        fatal(cases, name, machine, text);
    }
    Ok(())
}

/// Adds the other reasons.
pub(super) fn add_others(cases: &mut Cases<'_>, context: &Context) -> Result<()> {
    let disk = context.disk(&context.bootable()?)?;
    let good = || context.machine().disk(disk.clone());
    let pair = machine(&loader_with_pair(context, 144)?);

    for (name, machine, text) in [
        (
            "no environment in two copies",
            pair.clone().disk(zeroes(context)?),
            "environment at block 16: bad CRC",
        ),
        (
            "override of one of two copies",
            with(pair.disk(disk.clone()), "env-lba", "1000"),
            "env-lba cannot move an environment with a second copy (at block 144)",
        ),
        (
            "override with a huge block number",
            with(good(), "env-lba", "18446744073709551615"),
            "would end past the largest block number",
        ),
        (
            "settings of another version",
            with_settings(context, "no_magic", &[(MAGIC, 0)])?,
            "built-in settings: the settings do not start with the magic",
        ),
        (
            "settings with a large environment",
            with_settings(context, "size", &[(ENV_SIZE, 1 << 20)])?,
            "built-in settings: the environment needs a buffer of 1048576 bytes",
        ),
        (
            "settings with copies that overlap",
            with_settings(
                context,
                "overlap",
                &[(SECOND_COPY, 17), (SECOND_COPY + 4, 0)],
            )?,
            "built-in settings: the copies of the environment at blocks 16 and 17 overlap",
        ),
    ] {
        fatal(cases, name, machine, text);
    }
    for (name, value, text) in malformed_values() {
        fatal(cases, name, with(good(), name, &value), text);
    }
    // QEMU takes the bytes of a value that is not text from a file.
    let nul = context.path("nul");
    fs::write(&nul, b"a\0b")?;
    let machine = good().fw_cfg_file("opt/org.little-loader/append", nul);
    fatal(
        cases,
        "append with a NUL",
        machine,
        "append has a NUL at offset 1",
    );
    Ok(())
}

/// The offsets of settings in bytes (core/settings.rs).
const MAGIC: u64 = 0;
const SECOND_COPY: u64 = 16;
const ENV_SIZE: u64 = 24;

/// Returns a machine whose loader has these words in its settings, at offsets in bytes.
fn with_settings(context: &Context, name: &str, words: &[(u64, u32)]) -> Result<Machine> {
    let mut loader = context.artifacts.loader();
    let settings = mutant::symbol(&loader, SYMBOL)?;
    let path = context.path(&format!("{name}.elf"));
    for (offset, word) in words {
        mutant::write(&loader, &path, settings + offset, *word)?;
        loader.clone_from(&path);
    }
    Ok(machine(&loader))
}

/// Returns a disk without an environment.
fn zeroes(context: &Context) -> Result<Disk> {
    let zeroes = context.path("zeroes");
    context.bootable()?.without_env().create(&zeroes)?;
    Ok(Disk::new(zeroes))
}

/// Returns `movz xN, #0` in place of `mrs xN, ID_AA64ISAR0_EL1` (Arm ARM, C6.2, MRS and MOVZ): a CPU
/// without any optional instruction. QEMU has none, and KVM passes the host's features on.
fn without_features(word: u32) -> Option<u32> {
    const READ: u32 = 0xd538_0600;
    const ZERO: u32 = 0xd280_0000;
    let target = word & 31;
    (word == READ | target).then_some(ZERO | target)
}

/// Makes a loader that takes the memory for lent already, and so panics: it reads 1 where it notes
/// that.
fn panicking(context: &Context, good: &Machine) -> Result<PathBuf> {
    // `ldrb wN, [xM, #offset]` and `movz wN, #1` (Arm ARM, C6.2, LDRB and MOVZ).
    const READ: u32 = 0x3940_0000;
    const ONE: u32 = 0x5280_0020;
    let loader = context.artifacts.loader();
    let flag = mutant::symbol(&loader, "3Ram3new7IS_MADE17h")?;
    let socket = context.path("gdb");
    for address in mutant::find_access(good, &socket, Access::Read, flag..flag + 1)? {
        let word = mutant::read(&loader, address)?;
        if word & 0xffc0_0000 == READ {
            let mutant = context.path("panicking.elf");
            mutant::write(&loader, &mutant, address, ONE | word & 31)?;
            return Ok(mutant);
        }
    }
    bail!("no load of a byte reads the flag at {flag:#x}")
}
