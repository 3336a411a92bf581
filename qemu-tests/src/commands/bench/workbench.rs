// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files that all measurements share.

use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use qemu_tests::bench::disks;
use qemu_tests::build::{self, Loader, LoaderBuild};
use qemu_tests::harness::machine::{Bus, Disk, Machine};
use qemu_tests::harness::payload::Payload;
use qemu_tests::paths;

/// The loader as shipped, the test payload, and a temporary folder.
pub(super) struct Bench {
    pub(super) loader: Loader,
    pub(super) payload: Payload,
    folder: TempDir,
}

impl Bench {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let loader = build::loader(
            &LoaderBuild::default(),
            &paths::target().join("little-loader"),
        )?;
        let image = folder.path().join("payload.img");
        build::payload(&image)?;
        let payload = Payload::read(&image)?;
        Ok(Self {
            loader,
            payload,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a disk with the payload.
    pub(super) fn disk(&self, bus: Bus) -> Result<Disk> {
        Ok(disks::bootable(self.payload.bytes(), self.folder())?.bus(bus))
    }

    /// Returns a machine with the payload on a disk.
    pub(super) fn machine(&self, bus: Bus) -> Result<Machine> {
        Ok(Machine::new(&self.loader.elf).disk(self.disk(bus)?))
    }
}
