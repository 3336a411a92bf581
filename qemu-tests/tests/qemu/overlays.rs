// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests with a qcow2 overlay each, which are updated from outside while they are stopped.
//! `qemu-img` judges the overlays.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fwup::language::Definitions;
use imagegen::apply::apply_to;
use imagegen::env_file::{DEFAULT_PLACE, EnvFile};
use imagegen::image::Image;
use imagegen::install::Update;
use imagegen::overlay::OverlayBuilder;
use imagegen::slots;
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::process;

use crate::context::{Context, change_variables, report};
use crate::firmware::{Messages, archive};
use crate::{Scenario, Test, named};

/// The time limit for `qemu-img`.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 3] = [
        ("updated_by_an_archive_and_by_an_image", updated),
        ("in_use_is_refused", in_use),
        ("an_interrupted_change_is_repaired_by_qemu", interrupted),
    ];
    named("overlays", tests)
}

/// Creates an image with version 1.0.0 in slot a, and an overlay over it.
fn create(context: &Context) -> Result<()> {
    let (base, overlay) = (context.path("base.img"), context.path("guest.qcow2"));
    apply(context, "1.0.0", &base, "complete")?;
    OverlayBuilder::new(&base)?
        .backing_path(Path::new("base.img"))
        .create(&overlay)?;
    check(&overlay)?;
    let mut compare = Command::new("qemu-img");
    let compare = compare.arg("compare").args([&base, &overlay]);
    ensure!(process::capture(compare, LIMIT)?.contains("Images are identical"));
    Ok(())
}

fn apply(context: &Context, version: &str, image: &Path, task: &str) -> Result<()> {
    let archive = File::open(archive(context, version)?)?;
    let (mut definitions, mut messages) = (Definitions::empty(), Messages(Vec::new()));
    apply_to(archive, image, task, &mut definitions, &mut messages)?;
    Ok(())
}

/// Checks an overlay with `qemu-img`.
fn check(overlay: &Path) -> Result<()> {
    let mut check = Command::new("qemu-img");
    process::run(check.arg("check").arg(overlay), LIMIT).context("qemu-img check (qemu-utils)")
}

fn machine(context: &Context) -> Machine {
    let overlay = Disk::new(context.path("guest.qcow2")).qcow2();
    context.machine().disk(overlay)
}

/// Boots the overlay, and checks slot, reason and version.
fn booted(context: &Context, expected: &str) -> Result<()> {
    let report = report(&machine(context))?;
    let args = report.get("bootargs")?;
    let version = args
        .split_once("test.version=")
        .map_or("none", |(_, version)| version);
    let was = format!(
        "{} {} {version}",
        report.get("slot")?,
        report.get("reason")?
    );
    ensure!(was == expected, "{was}, not {expected}");
    check(&context.path("guest.qcow2"))
}

fn updated(context: &Context) -> Result<()> {
    create(context)?;
    let (base, overlay) = (context.path("base.img"), context.path("guest.qcow2"));
    let before = fs::read(&base)?;
    booted(context, "a active 1.0.0")?;
    apply(context, "2.0.0", &overlay, "upgrade")?;
    check(&overlay)?;
    booted(context, "b trial 2.0.0")?;
    apply(context, "2.0.0", &overlay, "validate")?;
    booted(context, "b active 2.0.0")?;

    let new = context.path("new.img");
    apply(context, "3.0.0", &new, "complete")?;
    let install = || -> Result<()> {
        let mut new = EnvFile::open(&new, DEFAULT_PLACE, false)?;
        let mut guest = EnvFile::open(&overlay, DEFAULT_PLACE, true)?;
        Update::new().install(&mut new, &mut guest)?;
        Ok(())
    };
    install()?;
    check(&overlay)?;
    booted(context, "a trial 3.0.0")?;
    booted(context, "b reverted 2.0.0")?;
    install()?;
    booted(context, "a trial 3.0.0")?;
    change_variables(&overlay, |variables| {
        slots::validate(variables);
        Ok(())
    })?;
    booted(context, "a active 3.0.0")?;
    ensure!(fs::read(&base)? == before, "the backing file was written");
    Ok(())
}

fn in_use(context: &Context) -> Result<()> {
    create(context)?;
    let overlay = context.path("guest.qcow2");
    // The machine waits before its first instruction, with its disk open.
    let running = machine(context).arguments(["-S"]).start()?;
    let started = Instant::now();
    let error = loop {
        // Opening it for writing would keep QEMU from opening it.
        match Image::open(&overlay, false) {
            Err(error) => break error.to_string(),
            Ok(_) => ensure!(started.elapsed() < LIMIT, "the overlay is never in use"),
        }
        thread::sleep(Duration::from_millis(50));
    };
    ensure!(error.contains("is in use: a running QEMU"), "{error}");
    let error = Image::open(&overlay, true).expect_err("in use").to_string();
    ensure!(error.contains("is in use: a running QEMU"), "{error}");
    let error = apply(context, "2.0.0", &context.path("base.img"), "upgrade");
    let error = format!("{:#}", error.expect_err("in use as a backing file"));
    ensure!(error.contains("QEMU"), "{error}");
    drop(running);
    booted(context, "a active 1.0.0")
}

/// The overlay has the mark of an incomplete change, and a table of clusters that is not counted as
/// used.
fn interrupted(context: &Context) -> Result<()> {
    create(context)?;
    let overlay = context.path("guest.qcow2");
    change_variables(&overlay, |variables| {
        variables.set("serial", "LL00000001");
        Ok(())
    })?;
    let mut bytes = fs::read(&overlay)?;
    // The dirty mark, and the reference count of cluster 4, the first table (docs/interop/qcow2.txt).
    bytes[79] |= 1;
    let counts = 2 * 65_536 + 4 * 2;
    ensure!(
        bytes[counts..counts + 2] == [0, 1],
        "cluster 4 is not in use"
    );
    bytes[counts + 1] = 0;
    fs::write(&overlay, bytes)?;
    ensure!(check(&overlay).is_err(), "qemu-img finds no error");
    let error = Image::open(&overlay, true)
        .expect_err("incomplete")
        .to_string();
    ensure!(error.contains("a change of it was interrupted"), "{error}");
    booted(context, "a active 1.0.0")?;
    let variables = EnvFile::open(&overlay, DEFAULT_PLACE, false)?.variables();
    ensure!(variables.get("serial") == Some(&b"LL00000001"[..]));
    Ok(())
}
