// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware archives from the configuration to the boot: created, applied as installation and as
//! upgrade, then validated or reverted. The configuration is modelled on a Nerves system's.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use fwup::apply::{Observer, apply_to};
use fwup::archive::firmware_archive::FirmwareArchive;
use fwup::archive::write::Level;
use fwup::create::pack;
use fwup::destination::{Device, DiskFile, Storage};
use fwup::language::Definitions;
use little_loader_core::env::writer::SECTOR;
use qemu_tests::harness::machine::Disk;

use crate::context::{Context, report};
use crate::{Scenario, Test, named};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nerves.conf");

pub(crate) fn tests() -> Vec<Test> {
    let tests: [(&str, Scenario); 3] = [
        ("complete_upgrade_validate_and_back", upgrades),
        ("an_upgrade_that_nobody_validates_goes_back", unvalidated),
        ("an_interrupted_upgrade_boots", interrupted),
    ];
    named("firmware", tests)
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
    // "upgrade" is the start of several names; the requirements select the task.
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

/// The upgrade is cut off after some numbers of sectors within the kernel, and after each of the
/// last sectors.
fn interrupted(context: &Context) -> Result<()> {
    let image = context.path("disk.img");
    apply(&archive(context, "1.0.0")?, &image, "complete")?;
    let before = fs::read(&image)?;
    let upgrade = archive(context, "2.0.0")?;
    let sectors = usize::MAX - cut_after(usize::MAX, &upgrade, &image)?.0;
    ensure!(sectors > 100, "only {sectors} sectors");
    booted(context, &image, "b trial 2.0.0")?;
    let (some, last) = ((0..sectors).step_by(40), sectors - 4..=sectors);
    for written in some.chain(last) {
        fs::write(&image, &before)?;
        let (left, is_whole) = cut_after(written, &upgrade, &image)?;
        ensure!(
            left == 0 && is_whole == (written == sectors),
            "{written}: {left} left"
        );
        let expected = if is_whole {
            "b trial 2.0.0"
        } else {
            "a active 1.0.0"
        };
        booted(context, &image, expected)
            .with_context(|| format!("after {written} of {sectors} sectors"))?;
    }
    Ok(())
}

/// Applies the upgrade until `sectors` sectors have been written. Returns how many of them were not
/// needed, and whether the upgrade completed.
fn cut_after(sectors: usize, archive: &Path, image: &Path) -> Result<(usize, bool)> {
    let mut archive = FirmwareArchive::read(File::open(archive)?, &mut Definitions::empty())?;
    let mut device = Device::new(Cut {
        disk: DiskFile::open(image)?,
        left: sectors,
    });
    let result = fwup::apply::apply(
        &mut archive.entries,
        &archive.firmware,
        "upgrade",
        &mut device,
        &mut Messages(Vec::new()),
    );
    Ok((device.into_storage().left, result.is_ok()))
}

/// A disk that fails after `left` more sectors have been written.
struct Cut {
    disk: DiskFile,
    left: usize,
}

impl Storage for Cut {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(offset, out)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let sectors = data.len().div_ceil(SECTOR);
        let done = sectors.min(self.left);
        self.left -= done;
        let data = &data[..data.len().min(done * SECTOR)];
        self.disk.write_at(offset, data)?;
        if done < sectors {
            return Err(io::Error::other("the power failed"));
        }
        Ok(())
    }

    fn length(&self) -> u64 {
        self.disk.length()
    }

    fn grows(&self) -> bool {
        self.disk.grows()
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        self.disk.grow(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

/// Creates the archive of a version; returns its path.
pub(crate) fn archive(context: &Context, version: &str) -> Result<PathBuf> {
    let path = context.path(&format!("{version}.fw"));
    let mut environment = Definitions::empty();
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

/// The `info` messages of the tasks.
pub(crate) struct Messages(pub(crate) Vec<String>);

impl Observer for Messages {
    fn progress(&mut self, _: u64, _: u64) {}

    fn info(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

fn apply(archive: &Path, image: &Path, task: &str) -> Result<Vec<String>> {
    let mut messages = Messages(Vec::new());
    let mut environment = Definitions::empty();
    apply_to(
        File::open(archive)?,
        image,
        task,
        &mut environment,
        &mut messages,
    )?;
    Ok(messages.0)
}

/// Boots the image and checks slot, reason and version, as [`boot`] returns them.
fn booted(context: &Context, image: &Path, expected: &str) -> Result<()> {
    let was = boot(context, image)?;
    ensure!(was == expected, "{was}, not {expected}");
    Ok(())
}

/// Boots the image; returns slot, reason and version, as `b trial 2.0.0`.
fn boot(context: &Context, image: &Path) -> Result<String> {
    let report = report(&context.machine().disk(Disk::new(image)))?;
    let bootargs = report.get("bootargs")?;
    let version = bootargs
        .split_once("test.version=")
        .map_or("none", |(_, version)| version);
    let (slot, reason) = (report.get("slot")?, report.get("reason")?);
    Ok(format!("{slot} {reason} {version}"))
}
