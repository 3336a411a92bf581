// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a test works with: the built loaders, and a folder of its own that goes away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use qemu_tests::artifacts::Artifacts;
use qemu_tests::harness::gdb::{self, Stub};
use qemu_tests::harness::machine::{Disk, Machine};
use qemu_tests::harness::payload::Payload;
use qemu_tests::harness::report::Report;
use qemu_tests::harness::running::Running;
use qemu_tests::harness::tree::Tree;
use qemu_tests::scratch::Scratch;

/// How long a boot into the payload may take on a busy machine.
const BOOT: Duration = Duration::from_secs(60);

/// How long a machine that cannot boot may take to power itself off.
const POWER_OFF: Duration = Duration::from_secs(10);

/// How every line begins that says why a boot failed.
const FATAL: &str = "little-loader: fatal: ";

/// A test's surroundings.
pub(crate) struct Context {
    pub(crate) artifacts: Artifacts,
    folder: TempDir,
}

impl Context {
    pub(crate) fn new(artifacts: PathBuf) -> std::io::Result<Self> {
        Ok(Self {
            artifacts: Artifacts::in_folder(artifacts),
            folder: tempfile::tempdir()?,
        })
    }

    /// A path in the test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The payload as it was built.
    pub(crate) fn payload(&self) -> Result<Payload> {
        Ok(Payload::read(&self.artifacts.payload())?)
    }

    /// A disk with the payload in both slots.
    pub(crate) fn bootable(&self) -> Result<Scratch> {
        Ok(Scratch::bootable(self.payload()?.bytes()))
    }

    /// Makes the image of `scratch`.
    pub(crate) fn disk(&self, scratch: &Scratch) -> Result<Disk> {
        let path = self.path("disk.img");
        scratch.create(&path)?;
        Ok(Disk::new(path))
    }

    /// The image behind QEMU's blkdebug driver with one rule, which makes what it names fail.
    pub(crate) fn failing(&self, image: &Path, rule: &str) -> Result<Disk> {
        let rules = self.path("blkdebug.conf");
        fs::write(&rules, format!("[inject-error]\n{rule}\nerrno = \"5\"\n"))?;
        let path = format!("blkdebug:{}:{}", rules.display(), image.display());
        Ok(Disk::new(path))
    }

    /// The same with a rule for reads of one block.
    pub(crate) fn failing_read(&self, image: &Path, block: u64) -> Result<Disk> {
        self.failing(
            image,
            &format!("event = \"read_aio\"\nsector = \"{block}\""),
        )
    }

    /// A machine with the loader as shipped.
    pub(crate) fn machine(&self) -> Machine {
        machine(&self.artifacts.loader())
    }

    /// Starts a machine whose memory is changed before its first instruction.
    pub(crate) fn changed(
        &self,
        machine: Machine,
        change: impl FnOnce(&mut Stub) -> Result<()>,
    ) -> Result<Running> {
        let socket = self.path("gdb");
        let machine = machine.arguments(gdb::arguments(&socket));
        let running = machine.time_limit(POWER_OFF).start()?;
        let mut stub = Stub::connect(&socket)?;
        change(&mut stub)?;
        stub.go()?;
        Ok(running)
    }

    /// The device tree that QEMU makes for that machine.
    pub(crate) fn tree(&self) -> Result<Tree> {
        Tree::of(self.machine(), self.folder.path())
    }

    /// Starts the loader on a disk and expects it to say why it cannot go on, and to power off;
    /// returns the console's fatal lines without their beginning.
    pub(crate) fn fatal(&self, machine: Machine) -> Result<Vec<String>> {
        fatal(machine.time_limit(POWER_OFF).start()?)
    }
}

/// A machine with one of the loaders.
pub(crate) fn machine(loader: &Path) -> Machine {
    Machine::new(loader).time_limit(BOOT)
}

/// What the console of a machine shows that ends by itself.
pub(crate) fn console_text(machine: &Machine) -> Result<String> {
    Ok(machine.start()?.wait_for_exit()?.serial)
}

/// Boots to the end of the payload's report and power-off.
pub(crate) fn report(machine: &Machine) -> Result<Report> {
    let running = machine.start()?;
    let mut log = running.log();
    log.serial = running.wait_for_exit()?.serial;
    Report::parse(&log.serial).map_err(|error| anyhow::anyhow!("{error}{log}"))
}

/// As [`Context::fatal`], for a machine that was started otherwise.
pub(crate) fn fatal(running: Running) -> Result<Vec<String>> {
    let mut log = running.log();
    log.serial = running.wait_for_exit()?.serial;
    let lines = log
        .serial
        .lines()
        .filter_map(|line| line.strip_prefix(FATAL));
    let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    ensure!(!lines.is_empty(), "no line begins with {FATAL:?}{log}");
    ensure!(
        !log.serial.contains("payload: "),
        "the payload was entered{log}"
    );
    Ok(lines)
}
