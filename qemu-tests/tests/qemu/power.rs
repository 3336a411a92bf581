// SPDX-License-Identifier: MIT OR Apache-2.0

//! Power cuts: after every write and flush of a boot, as QEMU's blklogwrites driver recorded them,
//! and at random moments.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use qemu_tests::harness::machine::Disk;
use qemu_tests::harness::write_log::{Entry, cuts, read};
use qemu_tests::scratch::{Scratch, variable};

use crate::context::{Context, report};
use crate::slots::{told, updated};
use crate::{Scenario, Test, named};

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 3] = [
        ("cut_at_every_point_of_a_trial", |context| {
            cut_everywhere(
                context,
                &spread(context)?,
                "b trial 1",
                &["b trial 1", "a reverted 1"],
            )
        }),
        ("cut_at_every_point_of_a_revert", |context| {
            let used_up = spread(context)?.set("bootcount", 1);
            cut_everywhere(
                context,
                &used_up,
                "a reverted 1",
                &["a reverted 1", "a active 0"],
            )
        }),
        ("twenty_kills_at_random_moments", kills),
    ];
    named("power", tests)
}

/// Returns a disk with a trial of slot b whose variables are in three sectors.
fn spread(context: &Context) -> Result<Scratch> {
    Ok(updated(context)?
        .unset("upgrade_available")
        .unset("bootcount")
        .set("filler1", "x".repeat(500))
        .set("upgrade_available", 1)
        .set("filler2", "y".repeat(500))
        .set("bootcount", 0))
}

/// Boots once and records the writes. Then boots from every disk that a power cut could have left,
/// checks that the outcome is one of `allowed`, and that later boots settle on slot a.
fn cut_everywhere(context: &Context, disk: &Scratch, first: &str, allowed: &[&str]) -> Result<()> {
    let (image, log) = (context.path("disk.img"), context.path("writes.log"));
    // Small, because the disk is rewritten for every cut.
    let disk = disk
        .clone()
        .set("b.kernel_lba", 4096)
        .write(4096, context.payload()?.bytes())
        .blocks(6000);
    disk.create(&image)?;
    fs::write(&log, "")?;
    let before = fs::read(&image)?;
    let node = |name: &str, path: &Path| {
        format!("node-name={name},driver=file,filename={}", path.display())
    };
    let machine = context.machine().arguments([
        "-blockdev",
        &node("image", &image),
        "-blockdev",
        &node("log", &log),
        "-blockdev",
        "node-name=disk,driver=blklogwrites,file=image,log=log",
        "-device",
        "virtio-blk-device,drive=disk",
    ]);
    let went = told(&report(&machine)?)?;
    ensure!(went == first, "{went}");
    let entries = read(&log)?;
    let writes = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Write(..)))
        .count();
    ensure!(writes >= 2, "only {writes} writes: {entries:?}");
    ensure!(entries.contains(&Entry::Flush), "no flush: {entries:?}");
    ensure!(
        entries.last() == Some(&Entry::Flush),
        "a write without a flush"
    );

    let states = cuts(&before, &entries);
    let path = context.path("cut.img");
    for (done, state) in &states {
        fs::write(&path, state)?;
        let machine = context.machine().disk(Disk::new(&path));
        let went = told(&report(&machine)?)?;
        ensure!(
            allowed.contains(&went.as_str()),
            "after {done} of {} operations: {went}",
            entries.len()
        );
        // After the last flush the count must be on the disk: the trial does not start again.
        if *done == entries.len() {
            ensure!(went == allowed[1], "{went}");
        }
        // The boots after that settle on slot a.
        for _ in 0..2 {
            report(&machine)?;
        }
        ensure!(told(&report(&machine)?)? == "a active 0");
        ensure!(variable(&path, "nerves_fw_active")?.as_deref() == Some("a"));
    }
    Ok(())
}

/// QEMU is killed somewhere between its start and the kernel's end.
fn kills(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    // The kernel of slot b waits forever.
    let disk = spread(context)?.set("b.kernel_args", "test.slot=b payload.end=wait");
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for kill in 0..20 {
        disk.create(&image)?;
        let machine = context.machine().disk(Disk::new(&image));
        let running = machine.start()?;
        // A boot takes about 150 ms; the kills are spread over 250 ms.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        sleep(Duration::from_millis((random >> 33) % 250));
        let ran = running.serial().contains("payload: ");
        drop(running);
        // The next boot succeeds; a trial whose kernel ran does not start again.
        let mut next = machine.start()?;
        next.expect("payload: done")?;
        let serial = next.serial();
        drop(next);
        let is_trial = serial.contains("slot b: trial");
        ensure!(
            is_trial || serial.contains("slot a: reverted"),
            "kill {kill}: {serial}"
        );
        ensure!(!(ran && is_trial), "kill {kill}: a second trial: {serial}");
        // Slot b had its trial and was killed at its end; slot a follows.
        if is_trial {
            ensure!(told(&report(&machine)?)? == "a reverted 1", "kill {kill}");
        }
        ensure!(told(&report(&machine)?)? == "a active 0", "kill {kill}");
    }
    Ok(())
}
