// SPDX-License-Identifier: MIT OR Apache-2.0

//! Update scenarios: a slot is tried, then kept or reverted, with a failure at each step.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use imagegen::env_file::EnvFile;
use imagegen::loader_elf::LoaderElf;
use imagegen::slots;
use little_loader_core::env::place::{EnvCopy, EnvPlace};
use little_loader_core::slots::slot::Slot;
use little_loader_core::units::{Bytes, Lba};

use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::report::Report;
use qemu_tests::scratch::{KERNEL_B, Scratch, variable};

use crate::context::{Context, change_variables, console_text, report};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 18] = [
        ("update_is_tried_validated_and_stays", update_stays),
        ("update_that_resets_goes_back", update_goes_back),
        ("update_of_the_older_form_goes_back", older_form_goes_back),
        ("limit_of_three_trials", three_trials),
        ("corrupt_kernel_goes_back_at_once", |context| {
            goes_back_at_once(
                context,
                |disk| disk.write(KERNEL_B, &[0xee; 4096]),
                "not a raw arm64 Image",
            )
        }),
        ("truncated_disk_goes_back_at_once", |context| {
            goes_back_at_once(
                context,
                |disk| disk.blocks(KERNEL_B + 20),
                "ends beyond the disk",
            )
        }),
        ("initrd_beyond_the_disk_goes_back_at_once", |context| {
            let with_initrd = |disk: Scratch| {
                disk.set("b.initrd_lba", 131_000)
                    .set("b.initrd_size", 1 << 20)
            };
            goes_back_at_once(context, with_initrd, "the initrd at block 131000")
        }),
        ("both_corrupt_leaves_the_environment_alone", both_corrupt),
        ("barred_slot_is_no_fallback", barred),
        ("read_only_disk_boots_the_other_slot", read_only),
        ("read_error_at_the_kernels_start", |context| {
            read_error(
                context,
                KERNEL_B,
                "read error at block 65536 (8 blocks)",
                "0",
            )
        }),
        ("read_error_inside_the_kernel", |context| {
            read_error(context, KERNEL_B + 60, "read error at block 65536 (", "0")
        }),
        ("write_error", |context| {
            write_fails(
                context,
                "write_aio",
                "write",
                "write error at block 16 (1 blocks)",
            )
        }),
        ("flush_error", |context| {
            write_fails(context, "flush_to_disk", "flush", "flush error")
        }),
        ("torn_write_is_repaired", torn),
        ("tear_by_others_is_not_repaired", torn_by_others),
        ("redundant_pair_takes_turns", redundant),
        ("fifty_reboots", fifty_reboots),
    ];
    named("slots", tests)
}

/// A disk on which slot b was just installed: it is active and on trial.
pub(crate) fn updated(context: &Context) -> Result<Scratch> {
    Ok(context
        .bootable()?
        .set("upgrade_available", 1)
        .set("bootcount", 0)
        .set("nerves_fw_active", "b"))
}

/// Returns the slot, reason and boot count that the loader passed to the kernel, as `b trial 1`.
///
/// # Errors
///
/// If the kernel's arguments are not those of the slot.
pub(crate) fn told(report: &Report) -> Result<String> {
    let (slot, reason) = (report.get("slot")?, report.get("reason")?);
    let args = report.get("bootargs")?;
    ensure!(
        args.starts_with(&format!("test.slot={slot}")),
        "slot {slot} with the arguments {args}"
    );
    Ok(format!("{slot} {reason} {}", report.get("bootcount")?))
}

/// Boots the image and checks that [`told`] returns `wanted`.
fn boots(context: &Context, image: &Path, wanted: &str) -> Result<()> {
    boots_on(&context.machine().disk(Disk::new(image)), wanted)
}

fn boots_on(machine: &Machine, wanted: &str) -> Result<()> {
    let told = told(&report(machine)?)?;
    ensure!(told == wanted, "{told:?} is not {wanted:?}");
    Ok(())
}

/// Checks `nerves_fw_active`, `upgrade_available` and `bootcount` on the image.
pub(crate) fn holds(image: &Path, wanted: [&str; 3]) -> Result<()> {
    for (name, wanted) in ["nerves_fw_active", "upgrade_available", "bootcount"]
        .into_iter()
        .zip(wanted)
    {
        let found = variable(image, name)?;
        ensure!(
            found.as_deref() == Some(wanted),
            "{name} is {found:?}, not {wanted}"
        );
    }
    Ok(())
}

fn image(context: &Context, scratch: &Scratch) -> Result<PathBuf> {
    let path = context.path("disk.img");
    scratch.create(&path)?;
    Ok(path)
}

fn update_stays(context: &Context) -> Result<()> {
    let image = image(context, &context.bootable()?)?;
    boots(context, &image, "a active 0")?;
    change_variables(&image, |variables| {
        Ok(slots::activate(variables, Slot::B, true)?)
    })?;
    boots(context, &image, "b trial 1")?;
    holds(&image, ["b", "1", "1"])?;
    change_variables(&image, |variables| {
        slots::validate(variables);
        Ok(())
    })?;
    for _ in 0..2 {
        boots(context, &image, "b active 0")?;
    }
    holds(&image, ["b", "0", "0"])
}

/// All in one run of QEMU: the kernel of slot b resets, as a kernel that panics does.
fn update_goes_back(context: &Context) -> Result<()> {
    let image = image(
        context,
        &updated(context)?.set("b.kernel_args", "test.slot=b payload.end=reset"),
    )?;
    let mut running = context.machine().disk(Disk::new(&image)).start()?;
    running.expect("slot b: trial")?;
    running.expect("payload: done")?;
    running.expect("slot a: reverted")?;
    running.expect("payload: done")?;
    running.wait_for_exit()?;
    holds(&image, ["a", "0", "0"])?;
    boots(context, &image, "a active 0")
}

fn older_form_goes_back(context: &Context) -> Result<()> {
    let disk = context
        .bootable()?
        .set("nerves_fw_active", "b")
        .set("nerves_fw_validated", 0)
        .set("nerves_fw_booted", 0);
    let image = image(context, &disk)?;
    boots(context, &image, "b trial 1")?;
    ensure!(variable(&image, "nerves_fw_booted")?.as_deref() == Some("1"));
    boots(context, &image, "a reverted 1")?;
    for (name, wanted) in [
        ("nerves_fw_active", "a"),
        ("nerves_fw_validated", "1"),
        ("nerves_fw_booted", "1"),
    ] {
        ensure!(variable(&image, name)?.as_deref() == Some(wanted), "{name}");
    }
    boots(context, &image, "a active 0")
}

fn three_trials(context: &Context) -> Result<()> {
    let image = image(
        context,
        &updated(context)?.unset("bootcount").set("bootlimit", 3),
    )?;
    for count in 1..=3 {
        boots(context, &image, &format!("b trial {count}"))?;
    }
    boots(context, &image, "a reverted 3")?;
    boots(context, &image, "a active 0")
}

/// Slot b cannot be booted: the loader boots slot a in the same boot, and writes the revert to the
/// disk.
fn goes_back_at_once(
    context: &Context,
    change: impl FnOnce(Scratch) -> Scratch,
    reason: &str,
) -> Result<()> {
    let image = image(context, &change(updated(context)?))?;
    let running = context.machine().disk(Disk::new(&image)).start()?;
    let serial = running.wait_for_exit()?.serial;
    let warning = serial
        .lines()
        .find(|line| line.starts_with("little-loader: warning: slot b: "));
    ensure!(
        warning.is_some_and(|line| line.contains(reason)),
        "{serial}"
    );
    ensure!(
        told(&Report::parse(&serial)?)? == "a reverted 0",
        "{serial}"
    );
    holds(&image, ["a", "0", "0"])?;
    boots(context, &image, "a active 0")
}

fn both_corrupt(context: &Context) -> Result<()> {
    let disk = updated(context)?
        .set("a.kernel_lba", 3000)
        .set("b.kernel_lba", 4000);
    let image = image(context, &disk)?;
    let before = fs::read(&image)?;
    let lines = context.fatal(context.machine().disk(Disk::new(&image)))?;
    for wanted in ["slot b: kernel_lba 4000: ", "slot a: kernel_lba 3000: "] {
        ensure!(
            lines.iter().any(|line| line.starts_with(wanted)),
            "{lines:#?}"
        );
    }
    ensure!(fs::read(&image)? == before, "the disk was written to");
    Ok(())
}

/// Slot a has a platform and slot b has none: b is not booted although a cannot be.
fn barred(context: &Context) -> Result<()> {
    let disk = context
        .bootable()?
        .set("a.nerves_fw_platform", "x")
        .set("a.kernel_lba", 3000);
    let image = image(context, &disk)?;
    let lines = context.fatal(context.machine().disk(Disk::new(&image)))?;
    ensure!(
        lines
            .iter()
            .any(|line| line.starts_with("slot b: must not be booted")),
        "{lines:#?}"
    );
    Ok(())
}

fn read_only(context: &Context) -> Result<()> {
    let image = image(context, &updated(context)?)?;
    let machine = context.machine().disk(Disk::new(&image).read_only());
    let serial = console_text(&machine)?;
    for wanted in [
        "slot b: trial cannot be counted: the disk is read-only; trying the other slot",
        "slot a: revert cannot be recorded: the disk is read-only; booting it anyway",
    ] {
        ensure!(serial.contains(wanted), "{serial}");
    }
    ensure!(
        told(&Report::parse(&serial)?)? == "a reverted 0",
        "{serial}"
    );
    holds(&image, ["b", "1", "0"])?;
    // Without a trial there is nothing to write, and no warning.
    let disk = context.disk(&context.bootable()?)?.read_only();
    let serial = console_text(&context.machine().disk(disk))?;
    ensure!(!serial.contains("warning"), "{serial}");
    ensure!(told(&Report::parse(&serial)?)? == "a active 0", "{serial}");
    Ok(())
}

/// A block of the trial slot's kernel cannot be read: slot a boots, and the revert is written.
fn read_error(context: &Context, block: u64, message: &str, upgrade_available: &str) -> Result<()> {
    let image = image(context, &updated(context)?)?;
    let disk = context.failing_read(&image, block)?;
    let serial = console_text(&context.machine().disk(disk))?;
    ensure!(
        serial.contains(&format!("little-loader: warning: slot b: {message}")),
        "{serial}"
    );
    ensure!(
        told(&Report::parse(&serial)?)?.starts_with("a reverted"),
        "{serial}"
    );
    holds(&image, ["a", upgrade_available, "0"])
}

/// The count of a trial cannot be written: slot a boots. The disk is unchanged, or the next boot
/// repairs a torn write.
fn write_fails(context: &Context, event: &str, kind: &str, message: &str) -> Result<()> {
    let image = image(context, &updated(context)?)?;
    let rule = format!("event = \"{event}\"\niotype = \"{kind}\"");
    let disk = context.failing(&image, &rule)?;
    let serial = console_text(&context.machine().disk(disk))?;
    ensure!(
        serial.contains(&format!("slot b: trial cannot be counted: {message}")),
        "{serial}"
    );
    ensure!(
        serial.contains(&format!("slot a: revert cannot be recorded: {message}")),
        "{serial}"
    );
    ensure!(
        told(&Report::parse(&serial)?)? == "a reverted 0",
        "{serial}"
    );
    // The next boot, on a good disk, depends on which writes reached the disk.
    let told = told(&report(&context.machine().disk(Disk::new(&image)))?)?;
    ensure!(told == "b trial 1" || told == "a active 0", "{told}");
    Ok(())
}

/// The changed variables are in two sectors; only the sector without the checksum reached the disk.
fn torn(context: &Context) -> Result<()> {
    let disk = context
        .bootable()?
        .set("nerves_fw_active", "b")
        .set("filler", "x".repeat(600))
        .set("upgrade_available", 1)
        .set("bootcount", 0);
    let image = image(context, &disk)?;
    let torn = |value: &[u8]| -> Result<()> {
        let mut bytes = fs::read(&image)?;
        let at = bytes
            .windows(10)
            .position(|text| text == b"bootcount=")
            .context("no bootcount")?;
        bytes[at + 10..at + 11].copy_from_slice(value);
        Ok(fs::write(&image, bytes)?)
    };
    torn(b"1")?;
    let serial = console_text(&context.machine().disk(Disk::new(&image)))?;
    ensure!(
        serial.contains("environment: a torn write was repaired"),
        "{serial}"
    );
    ensure!(told(&Report::parse(&serial)?)? == "b trial 1", "{serial}");
    holds(&image, ["b", "1", "1"])?;
    // The converse: the second sector has the old count, the first has the new checksum.
    torn(b"0")?;
    let serial = console_text(&context.machine().disk(Disk::new(&image)))?;
    ensure!(
        serial.contains("environment: a torn write was repaired"),
        "{serial}"
    );
    ensure!(
        told(&Report::parse(&serial)?)? == "a reverted 1",
        "{serial}"
    );
    holds(&image, ["a", "0", "0"])
}

/// Bytes other than the loader's own variables changed: the loader does not guess.
fn torn_by_others(context: &Context) -> Result<()> {
    let image = image(context, &updated(context)?)?;
    let mut bytes = fs::read(&image)?;
    let at = bytes
        .windows(12)
        .position(|text| text == b"test.slot=b\0")
        .context("no arguments")?;
    bytes[at] = b'T';
    fs::write(&image, bytes)?;
    let lines = context.fatal(context.machine().disk(Disk::new(&image)))?;
    ensure!(
        lines[0].contains("environment at block 16: bad CRC: stored 0x"),
        "{lines:#?}"
    );
    Ok(())
}

/// Writes the shipped loader, changed to a redundant pair of 64 KiB each; returns its path.
fn redundant_loader(context: &Context) -> Result<PathBuf> {
    let mut elf = LoaderElf::parse(fs::read(context.artifacts.loader())?)?;
    let mut settings = elf.settings()?;
    settings.env.size = Bytes(64 << 10);
    settings.env.redundant_lba = Some(Lba(144));
    elf.set_settings(settings)?;
    let path = context.path("redundant.elf");
    fs::write(&path, elf.bytes())?;
    Ok(path)
}

fn redundant(context: &Context) -> Result<()> {
    let place = EnvPlace {
        lba: Lba(16),
        size: Bytes(64 << 10),
        redundant_lba: Some(Lba(144)),
    };
    let loader = redundant_loader(context)?;
    let image = image(context, &context.bootable()?.without_env())?;
    // So far only the first copy is valid.
    let mut variables = imagegen::variables::Variables::new();
    for (name, value) in [
        ("nerves_fw_active", "b"),
        ("upgrade_available", "1"),
        ("bootcount", "0"),
        ("bootlimit", "2"),
        ("a.kernel_lba", "2048"),
        ("a.kernel_args", "test.slot=a"),
        ("b.kernel_lba", "65536"),
        ("b.kernel_args", "test.slot=b"),
    ] {
        variables.set(name, value);
    }
    let block = variables.to_block(64 << 10, place.format(), 255)?;
    let file = OpenOptions::new().write(true).open(&image)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &block, 16 * 512)?;
    let machine = crate::context::machine(&loader).disk(Disk::new(&image));
    let counting = || -> Result<(EnvCopy, u8)> {
        EnvFile::open(&image, place, false)?
            .active_copy()
            .context("no pair")
    };
    ensure!(counting()? == (EnvCopy::First, 255));
    for (wanted, copy) in [
        ("b trial 1", (EnvCopy::Second, 0)),
        ("b trial 2", (EnvCopy::First, 1)),
        ("a reverted 2", (EnvCopy::Second, 2)),
        ("a active 0", (EnvCopy::Second, 2)),
    ] {
        boots_on(&machine, wanted)?;
        ensure!(counting()? == copy, "after {wanted}: {:?}", counting()?);
    }
    // The loader reports the corrupt copy and uses the older one, the state before the revert.
    std::os::unix::fs::FileExt::write_all_at(&file, b"garbage", 144 * 512 + 100)?;
    let serial = console_text(&machine)?;
    ensure!(
        serial.contains("environment copy at block 144: bad CRC"),
        "{serial}"
    );
    ensure!(
        told(&Report::parse(&serial)?)? == "a reverted 2",
        "{serial}"
    );
    // The write in that boot repaired the copy.
    ensure!(counting()? == (EnvCopy::Second, 2), "{:?}", counting()?);
    Ok(())
}

/// Cycles through all states, reading them with fw_printenv after each boot.
fn fifty_reboots(context: &Context) -> Result<()> {
    let image = image(
        context,
        &context
            .bootable()?
            .set("upgrade_available", 0)
            .set("bootcount", 0),
    )?;
    let config = context.path("fw_env.config");
    fs::write(&config, format!("{} 0x2000 0x20000\n", image.display()))?;
    let printed = |name: &str| -> Result<String> {
        let output = Command::new("fw_printenv")
            .arg("-c")
            .arg(&config)
            .args(["-n", name])
            .output()
            .context("fw_printenv (package libubootenv-tool)")?;
        if !output.status.success() {
            bail!("fw_printenv: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    };
    let change = |action: &dyn Fn(&mut imagegen::variables::Variables)| -> Result<()> {
        change_variables(&image, |variables| {
            action(variables);
            Ok(())
        })
    };
    let activate = |slot: Slot| {
        change(&|variables| {
            slots::activate(variables, slot, true).unwrap_or_default();
        })
    };
    let (mut boots_done, mut active) = (0, Slot::A);
    while boots_done < 50 {
        let other = active.other();
        // An update that fails, then one that is validated.
        activate(other)?;
        for (wanted, state) in [
            (format!("{other} trial 1"), [other.name(), "1", "1"]),
            (format!("{active} reverted 1"), [active.name(), "0", "0"]),
            (format!("{active} active 0"), [active.name(), "0", "0"]),
        ] {
            boots(context, &image, &wanted)?;
            boots_done += 1;
            for (name, wanted) in ["nerves_fw_active", "upgrade_available", "bootcount"]
                .into_iter()
                .zip(state)
            {
                let found = printed(name)?;
                ensure!(
                    found == wanted,
                    "boot {boots_done}: {name} is {found}, not {wanted}"
                );
            }
        }
        activate(other)?;
        boots(context, &image, &format!("{other} trial 1"))?;
        change(&slots::validate)?;
        boots(context, &image, &format!("{other} active 0"))?;
        boots_done += 2;
        ensure!(printed("nerves_fw_active")? == other.name());
        active = other;
    }
    Ok(())
}
