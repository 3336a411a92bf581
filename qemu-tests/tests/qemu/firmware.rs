// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware archives from the configuration to the boot: made, applied, upgraded, validated, and reverted where nobody
//! validates. The configuration has the shape of a Nerves system's.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use imagegen::fwup::apply::Observer;
use imagegen::fwup::archive::write::Level;
use imagegen::fwup::language::Environment;
use imagegen::fwup::opened::apply_to;
use imagegen::fwup::pack::pack;
use qemu_tests::machine::Disk;

use crate::context::{Context, report};
use crate::{Scenario, Test};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nerves.conf");

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 2] = [
        ("complete_upgrade_validate_and_back", upgrades),
        ("an_upgrade_that_nobody_validates_goes_back", unvalidated),
    ];
    tests
        .into_iter()
        .map(|(name, test)| (format!("firmware::{name}"), test))
        .collect()
}

fn upgrades(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    let (first, second, third) = (
        archive(context, "1.0.0")?,
        archive(context, "2.0.0")?,
        archive(context, "3.0.0")?,
    );
    ensure!(apply(&first, &image, "complete")?.is_empty());
    booted(context, &image, "a active 1.0.0")?;
    // By the start of its name, and by what it requires, the task is found.
    ensure!(apply(&second, &image, "upgrade")? == ["Upgrading partition B"]);
    booted(context, &image, "b trial 2.0.0")?;
    let error = apply(&third, &image, "upgrade").expect_err("not validated yet");
    ensure!(
        format!("{error:#}").contains("Please validate the running firmware"),
        "{error:#}"
    );
    ensure!(apply(&second, &image, "validate")? == ["Validate"]);
    booted(context, &image, "b active 2.0.0")?;
    ensure!(apply(&third, &image, "upgrade")? == ["Upgrading partition A"]);
    booted(context, &image, "a trial 3.0.0")?;
    ensure!(apply(&third, &image, "validate")? == ["Validate"]);
    booted(context, &image, "a active 3.0.0")
}

fn unvalidated(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    apply(&archive(context, "1.0.0")?, &image, "complete")?;
    apply(&archive(context, "2.0.0")?, &image, "upgrade")?;
    booted(context, &image, "b trial 2.0.0")?;
    booted(context, &image, "a reverted 1.0.0")?;
    booted(context, &image, "a active 1.0.0")
}

/// Makes the archive of a version.
fn archive(context: &Context, version: &str) -> Result<PathBuf> {
    let path = context.path(&format!("{version}.fw"));
    let mut environment = Environment::empty();
    environment.set("NERVES_FW_VERSION", version);
    environment.set("KERNEL", context.artifacts.payload().to_string_lossy());
    environment.set("SOURCE_DATE_EPOCH", "1700000000");
    let level = Level::default();
    pack(
        Path::new(CONFIGURATION),
        &path,
        level,
        &mut environment,
        |_, _| (),
    )?;
    Ok(path)
}

/// What the tasks say.
struct Messages(Vec<String>);

impl Observer for Messages {
    fn progress(&mut self, _: u64, _: u64) {}

    fn info(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

fn apply(archive: &Path, image: &Path, task: &str) -> Result<Vec<String>> {
    let mut messages = Messages(Vec::new());
    let mut environment = Environment::empty();
    apply_to(
        File::open(archive)?,
        image,
        task,
        &mut environment,
        &mut messages,
    )?;
    Ok(messages.0)
}

/// Boots the image, and compares slot, reason and version with what is expected.
fn booted(context: &Context, image: &Path, expected: &str) -> Result<()> {
    let report = report(&context.machine().disk(Disk::new(image)))?;
    let version = report
        .get("bootargs")?
        .split_once("test.version=")
        .map_or("none", |(_, version)| version);
    let was = format!(
        "{} {} {version}",
        report.get("slot")?,
        report.get("reason")?
    );
    ensure!(was == expected, "{was}, not {expected}");
    Ok(())
}
