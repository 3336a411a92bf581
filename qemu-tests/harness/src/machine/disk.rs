// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk of a machine, and its options on QEMU's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The bus that a disk is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// `virtio-blk-device` on the transport that QEMU chooses: the last free one.
    #[default]
    Mmio,
    /// `virtio-blk-device` on the transport with this number, 0 to 31.
    MmioAt(u8),
    /// `virtio-blk-pci` on the first bus.
    Pci,
    /// `virtio-blk-pci` on a PCI Express root port, as libvirt attaches disks.
    PciRootPort,
    /// `virtio-blk-pci` in slot 3 behind a root port and a PCI Express to PCI bridge.
    PciBridge,
}

/// A raw disk image.
#[derive(Clone, Debug)]
pub struct Disk {
    pub(super) path: PathBuf,
    bus: Bus,
    snapshot: bool,
    read_only: bool,
    options: String,
    block_size: Option<u32>,
    serial: Option<String>,
    device_options: String,
}

impl Disk {
    /// Creates a disk from the image at `path`, on [`Bus::Mmio`]. The guest's writes go to the
    /// file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            bus: Bus::Mmio,
            snapshot: false,
            read_only: false,
            options: String::new(),
            block_size: None,
            serial: None,
            device_options: String::new(),
        }
    }

    /// Sets the bus.
    #[must_use]
    pub fn bus(self, bus: Bus) -> Self {
        Self { bus, ..self }
    }

    /// Discards the guest's writes when QEMU ends, so that several machines can share the file.
    #[must_use]
    pub fn snapshot(self) -> Self {
        Self {
            snapshot: true,
            ..self
        }
    }

    /// Makes the disk read-only for the guest.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Sets further `-drive` options, as `name=value,…`.
    #[must_use]
    pub fn drive_options(self, options: &str) -> Self {
        Self {
            options: options.to_owned(),
            ..self
        }
    }

    /// Sets further options of the device, as `name=value,…`.
    #[must_use]
    pub fn device_options(self, options: &str) -> Self {
        Self {
            device_options: options.to_owned(),
            ..self
        }
    }

    /// Sets the logical and physical block size in bytes, instead of 512.
    #[must_use]
    pub fn block_size(self, bytes: u32) -> Self {
        Self {
            block_size: Some(bytes),
            ..self
        }
    }

    /// Sets the serial number that the guest sees, of at most 20 characters.
    #[must_use]
    pub fn serial(self, serial: &str) -> Self {
        Self {
            serial: Some(serial.to_owned()),
            ..self
        }
    }

    pub(super) fn arguments(&self, index: usize) -> Vec<OsString> {
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
        let mut arguments = vec!["-drive".into(), drive];
        let port = format!("pcie-root-port,id=port{index},chassis={}", index + 1);
        let bridge = format!("pcie-pci-bridge,id=bridge{index},bus=port{index}");
        let (before, device, bus) = match self.bus {
            Bus::Mmio => (vec![], "virtio-blk-device", String::new()),
            Bus::MmioAt(bus) => (
                vec![],
                "virtio-blk-device",
                format!(",bus=virtio-mmio-bus.{bus}"),
            ),
            Bus::Pci => (vec![], "virtio-blk-pci", String::new()),
            Bus::PciRootPort => (vec![port], "virtio-blk-pci", format!(",bus=port{index}")),
            Bus::PciBridge => (
                vec![port, bridge],
                "virtio-blk-pci",
                format!(",bus=bridge{index},addr=3"),
            ),
        };
        let mut device = format!("{device},drive=disk{index}{bus}");
        if let Some(bytes) = self.block_size {
            device.push_str(&format!(
                ",logical_block_size={bytes},physical_block_size={bytes}"
            ));
        }
        if let Some(serial) = &self.serial {
            device.push_str(&format!(",serial={serial}"));
        }
        if !self.device_options.is_empty() {
            device.push(',');
            device.push_str(&self.device_options);
        }
        for device in before.into_iter().chain([device]) {
            arguments.extend(["-device".into(), device.into()]);
        }
        arguments
    }
}

/// Escapes a path as an option's value: QEMU ends the value at a comma, unless it is doubled.
pub(super) fn option_value(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}
