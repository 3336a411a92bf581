// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks on PCI: `-drive if=virtio` and `-device virtio-blk-pci`.
//!
//! On entry nobody has set up the bus: QEMU leaves that to firmware. On leaving, a block device has addresses for its
//! registers, and its memory accesses and DMA are on.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6 (configuration space); VIRTIO 1.2, section 4.1; IEEE 1275 PCI Bus
//! Binding for the device tree's `ranges`.

use core::fmt;

use little_loader::dtb::PciHost;
use little_loader::units::Region;
use thiserror::Error;
use virtio_drivers::transport::pci::bus::{
    BarInfo, Cam, Command, ConfigurationAccess, DeviceFunction, MemoryBarType, MmioCam, PciError,
    PciRoot,
};
use virtio_drivers::transport::pci::{PciTransport, VirtioPciError};

use crate::disk::LoaderHal;
use crate::mmu;

/// A configuration register read from where there is no device.
const NOBODY: u32 = 0xffff_ffff;
/// Vendor 0x1af4, device 0x1001 (transitional) or 0x1042 (VIRTIO 1.2, section 4.1.2).
const VIRTIO_BLK: [u32; 2] = [0x1001_1af4, 0x1042_1af4];
/// Header type, bits 22 to 16 of the register at offset 12: a bridge; bit 23: more than one function.
const BRIDGE: u32 = 1 << 16;
const HEADER_TYPE: u32 = 0x7f << 16;
const MULTI_FUNCTION: u32 = 1 << 23;

/// Why a block device on PCI cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PciProblem {
    #[error("its registers cannot be sized")]
    Bars,
    #[error("no room for its registers of {size:#x} bytes in the PCI window {window}")]
    Window { size: u64, window: Region },
    #[error("no virtio 1.0 registers: leave out disable-modern=on")]
    NoModernRegisters,
}

impl From<PciError> for PciProblem {
    fn from(_: PciError) -> Self {
        Self::Bars
    }
}

impl From<VirtioPciError> for PciProblem {
    fn from(_: VirtioPciError) -> Self {
        Self::NoModernRegisters
    }
}

/// A device on the bus, as its place is written: bus, device, function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PciPlace(DeviceFunction);

impl fmt::Display for PciPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio-pci@{}", self.0)
    }
}

/// The first bus behind the host bridge.
pub(crate) struct Bus {
    configuration: MmioCam<'static>,
    window: Region,
    /// Up to where the window is given out.
    next: u64,
    /// How many bridges were seen; what is behind them is not looked at.
    pub(crate) bridges: usize,
}

impl Bus {
    /// Maps the configuration space.
    pub(crate) fn open(host: &PciHost) -> Self {
        mmu::map_device(host.configuration);
        mmu::map_device(host.window);
        Self {
            configuration: Self::configuration(host.configuration),
            window: host.window,
            next: host.window.start.0,
            bridges: 0,
        }
    }

    fn configuration(space: Region) -> MmioCam<'static> {
        // SAFETY: the DTB says that this is the configuration space of a host bridge, of at least one bus; it is mapped
        // as device memory, only bus 0 is accessed, and one of these is used at a time.
        unsafe { MmioCam::new(space.start.0 as *mut u8, Cam::Ecam) }
    }

    /// The block devices on the bus, in its order, which is the one of QEMU's command line.
    pub(crate) fn block_devices(&mut self) -> impl Iterator<Item = PciPlace> + use<> {
        let mut found = [None; 32];
        let mut count = 0;
        for device in 0..32 {
            let mut functions = 1;
            let mut function = 0;
            while function < functions {
                let place = DeviceFunction {
                    bus: 0,
                    device,
                    function,
                };
                let id = self.configuration.read_word(place, 0);
                if id != NOBODY {
                    let header = self.configuration.read_word(place, 12);
                    if function == 0 && header & MULTI_FUNCTION != 0 {
                        functions = 8;
                    }
                    if header & HEADER_TYPE == BRIDGE {
                        self.bridges += 1;
                    } else if VIRTIO_BLK.contains(&id) && count < found.len() {
                        found[count] = Some(PciPlace(place));
                        count += 1;
                    }
                }
                function += 1;
            }
        }
        found.into_iter().flatten()
    }

    /// Gives a device addresses for its registers and turns it on.
    pub(crate) fn transport(&mut self, place: PciPlace) -> Result<PciTransport, PciProblem> {
        // SAFETY: the clone is the only one in use until it is dropped at the end of this function.
        let mut root = PciRoot::new(unsafe { self.configuration.unsafe_clone() });
        let mut index = 0;
        while index < 6 {
            let info = root.bar_info(place.0, index)?;
            if let Some(BarInfo::Memory {
                address_type, size, ..
            }) = info
            {
                let address = self.take(size)?;
                match address_type {
                    MemoryBarType::Width64 => root.set_bar_64(place.0, index, address),
                    _ => root.set_bar_32(place.0, index, address as u32),
                }
            }
            index += if info.is_some_and(|info| info.takes_two_entries()) {
                2
            } else {
                1
            };
        }
        root.set_command(place.0, Command::MEMORY_SPACE | Command::BUS_MASTER);
        Ok(PciTransport::new::<LoaderHal, _>(&mut root, place.0)?)
    }

    /// A free piece of the window, aligned to its size as PCI asks.
    fn take(&mut self, size: u64) -> Result<u64, PciProblem> {
        let address = self.next.checked_next_multiple_of(size);
        let window = self.window;
        match address.and_then(|address| Some((address, address.checked_add(size)?))) {
            Some((address, end)) if end <= window.end.0 => {
                self.next = end;
                Ok(address)
            }
            _ => Err(PciProblem::Window { size, window }),
        }
    }
}
