// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk of a machine, as QEMU's command line has it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How a disk is attached, which decides how the guest finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// `virtio-blk-device` on the transport that QEMU chooses: the last that is free.
    #[default]
    Mmio,
    /// `virtio-blk-device` on this transport, 0 to 31.
    MmioAt(u8),
    /// `virtio-blk-pci`.
    Pci,
}

/// A raw disk image.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
    bus: Bus,
    snapshot: bool,
    read_only: bool,
    options: String,
}

impl Disk {
    /// The image at `path`, on the transport that QEMU chooses. The guest's writes go to the file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            bus: Bus::Mmio,
            snapshot: false,
            read_only: false,
            options: String::new(),
        }
    }

    /// Attaches it elsewhere.
    #[must_use]
    pub fn bus(self, bus: Bus) -> Self {
        Self { bus, ..self }
    }

    /// Forgets the guest's writes when QEMU ends, so that several machines can share the file.
    #[must_use]
    pub fn snapshot(self) -> Self {
        Self {
            snapshot: true,
            ..self
        }
    }

    /// The guest cannot write to it.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// More `-drive` options, as `name=value,…`.
    #[must_use]
    pub fn drive_options(self, options: &str) -> Self {
        Self {
            options: options.to_owned(),
            ..self
        }
    }

    pub(super) fn arguments(&self, index: usize) -> [OsString; 4] {
        let mut drive = OsString::from(format!("if=none,id=disk{index},format=raw,file="));
        drive.push(option_value(&self.path));
        for (wanted, option) in [
            (self.snapshot, ",snapshot=on"),
            (self.read_only, ",readonly=on"),
        ] {
            if wanted {
                drive.push(option);
            }
        }
        if !self.options.is_empty() {
            drive.push(",");
            drive.push(&self.options);
        }
        let device = match self.bus {
            Bus::Mmio => format!("virtio-blk-device,drive=disk{index}"),
            Bus::MmioAt(bus) => {
                format!("virtio-blk-device,drive=disk{index},bus=virtio-mmio-bus.{bus}")
            }
            Bus::Pci => format!("virtio-blk-pci,drive=disk{index}"),
        };
        ["-drive".into(), drive, "-device".into(), device.into()]
    }
}

/// QEMU ends an option's value at a comma, unless it is doubled.
fn option_value(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}
