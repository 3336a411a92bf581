// SPDX-License-Identifier: MIT OR Apache-2.0

//! The resources of a test: the built loaders, and a temporary folder that is deleted when the test
//! ends.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use imagegen::env_file::{DEFAULT_PLACE, EnvFile};
use imagegen::variables::Variables;
use tempfile::TempDir;

use qemu_tests::artifacts::{self, Artifacts};
use qemu_tests::harness::gdb::{self, Stub};
use qemu_tests::harness::machine::{Accelerator, Disk, Machine};
use qemu_tests::harness::payload::Payload;
use qemu_tests::harness::report::Report;
use qemu_tests::harness::running::Running;
use qemu_tests::harness::tree::Tree;
use qemu_tests::scratch::Scratch;

/// Time limit of a boot into the payload, on a busy host.
const BOOT: Duration = Duration::from_secs(60);

/// Time limit for a machine that cannot boot to power itself off.
const POWER_OFF: Duration = Duration::from_secs(10);

/// The prefix of every line that gives the reason why a boot failed.
const FATAL: &str = "little-loader: fatal: ";

/// The built loaders and the temporary folder of one test.
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

    /// Returns a path in the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads the payload as built.
    pub(crate) fn payload(&self) -> Result<Payload> {
        Ok(Payload::read(&self.artifacts.payload())?)
    }

    /// Returns a disk with the payload in both slots.
    pub(crate) fn bootable(&self) -> Result<Scratch> {
        Ok(Scratch::bootable(self.payload()?.bytes()))
    }

    /// Creates the image of `scratch`, as `disk.img` in the test's folder.
    pub(crate) fn disk(&self, scratch: &Scratch) -> Result<Disk> {
        let path = self.path("disk.img");
        scratch.create(&path)?;
        Ok(Disk::new(path))
    }

    /// Returns the image through QEMU's blkdebug driver: requests that match `rule` fail with EIO.
    pub(crate) fn failing(&self, image: &Path, rule: &str) -> Result<Disk> {
        let rules = self.path(&format!(
            "blkdebug-{}.conf",
            crc32fast::hash(rule.as_bytes())
        ));
        fs::write(&rules, format!("[inject-error]\n{rule}\nerrno = \"5\"\n"))?;
        Ok(Disk::new(image).blkdebug(rules))
    }

    /// Returns the image through blkdebug: reads of block `block` fail with EIO.
    pub(crate) fn failing_read(&self, image: &Path, block: u64) -> Result<Disk> {
        self.failing(
            image,
            &format!("event = \"read_aio\"\nsector = \"{block}\""),
        )
    }

    /// Returns a machine with the loader as shipped.
    pub(crate) fn machine(&self) -> Machine {
        machine(&self.artifacts.loader())
    }

    /// Starts a machine after `change` has modified its memory, before the first instruction.
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

    /// Returns the device tree that QEMU generates for [`Context::machine`].
    pub(crate) fn tree(&self) -> Result<Tree> {
        Tree::of(self.machine(), self.folder.path())
    }

    /// Starts a machine and expects the loader to report why it cannot boot, and to power off.
    /// Returns the console's fatal lines without their prefix.
    pub(crate) fn fatal(&self, machine: Machine) -> Result<Vec<String>> {
        fatal(machine.time_limit(POWER_OFF).start()?)
    }
}

/// Changes the variables of an image. It is closed afterwards: QEMU refuses an image that somebody
/// else has open for writing.
pub(crate) fn change_variables(
    image: &Path,
    change: impl FnOnce(&mut Variables) -> Result<()>,
) -> Result<()> {
    let mut file = EnvFile::open(image, DEFAULT_PLACE, true)?;
    let mut variables = file.variables();
    change(&mut variables)?;
    file.store(&variables)?;
    Ok(())
}

/// Returns a machine with one of the loaders, and with the accelerator that `cargo qemu test` was
/// given.
pub(crate) fn machine(loader: &Path) -> Machine {
    Machine::new(loader)
        .accelerator(accelerator())
        .time_limit(BOOT)
}

/// Returns the accelerator of the tests' machines.
pub(crate) fn accelerator() -> Accelerator {
    let name = env::var(artifacts::ACCELERATOR).ok();
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}

/// Runs a machine until it powers off, and returns the console's text.
pub(crate) fn console_text(machine: &Machine) -> Result<String> {
    Ok(machine.start()?.wait_for_exit()?.serial)
}

/// Boots the payload, waits for its power-off, and returns its report.
pub(crate) fn report(machine: &Machine) -> Result<Report> {
    let running = machine.start()?;
    let mut log = running.log();
    log.serial = running.wait_for_exit()?.serial;
    Report::parse(&log.serial).map_err(|error| anyhow::anyhow!("{error}{log}"))
}

/// As [`Context::fatal`], for a machine that is already running.
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
