// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks on PCI: `-drive if=virtio` and `-device virtio-blk-pci`.
//!
//! On entry the bus is not set up: QEMU leaves that to firmware. On leaving, the buses scanned on
//! the way to the disk have numbers; an opened block device has addresses for its registers, its
//! memory accesses and DMA are enabled, and the bridges on the path to it forward them. Everything
//! else is unchanged; Linux renumbers the buses and reassigns the addresses.
//!
//! Source: VIRTIO 1.2, section 4.1; little_loader_core's `disk/pci_plan` names the sources for
//! buses and addresses.

use little_loader_core::disk::pci_plan::buses::Buses;
use little_loader_core::disk::pci_plan::configuration::PciFunction;
use little_loader_core::disk::pci_plan::windows::{BarError, HostWindow};
use little_loader_core::tree::pci_host::PciHost;
use thiserror::Error;
use virtio_drivers::transport::pci::bus::PciRoot;
use virtio_drivers::transport::pci::{PciTransport, VirtioPciError};

use crate::cpu::mmu;
use crate::disk::ecam::{Ecam, of_driver};
use crate::disk::virtio_hal::LoaderHal;

/// Why a block device on PCI cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PciError {
    #[error(transparent)]
    Placement(#[from] BarError),
    #[error("no virtio 1.0 registers: leave out disable-modern=on")]
    NoModernRegisters,
}

impl From<VirtioPciError> for PciError {
    fn from(_: VirtioPciError) -> Self {
        Self::NoModernRegisters
    }
}

/// A PCI host bridge, scanned up to the last disk that was opened.
pub(crate) struct PciBus {
    ecam: Ecam<'static>,
    window: HostWindow,
    /// The buses that have been scanned.
    pub(crate) buses: Buses,
}

impl PciBus {
    /// Maps the host bridge's memory. `None` when it cannot be mapped.
    #[inline(never)]
    pub(crate) fn open(host: &PciHost) -> Option<Self> {
        let ecam = Ecam::new(mmu::map_device(host.configuration)?)?;
        let window = mmu::map_device(host.window)?.region();
        let buses = Buses::new(ecam.buses());
        Some(Self {
            ecam,
            window: HostWindow::new(window),
            buses,
        })
    }

    /// Scans on to the next block device, and assigns numbers to the buses on the way.
    pub(crate) fn next_disk(&mut self) -> Option<PciFunction> {
        self.buses.next_disk(&mut self.ecam)
    }

    /// Assigns addresses to a device's registers and enables the device.
    #[inline(never)]
    pub(super) fn transport(&mut self, device: PciFunction) -> Result<PciTransport, PciError> {
        let placed = self.window.turn_on(&mut self.ecam, &self.buses, device)?;
        let mut root = PciRoot::new(self.ecam.for_driver(placed));
        Ok(PciTransport::new::<LoaderHal, _>(
            &mut root,
            of_driver(device),
        )?)
    }
}
