// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks on PCI: `-drive if=virtio` and `-device virtio-blk-pci`.
//!
//! On entry nobody has set up the bus: QEMU leaves that to firmware. On leaving, the buses behind bridges have numbers; a block
//! device that was opened has addresses for its registers, its memory accesses and DMA are on, and the bridges before it let
//! them through. All else is as it was; Linux numbers the buses and gives out the addresses anew.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6 (configuration space); PCI-to-PCI Bridge Architecture Specification
//! 1.2, chapter 3 (bus numbers, memory window); PCI Express Base Specification 3.0, section 7.8.2 (port types); VIRTIO 1.2,
//! section 4.1; IEEE 1275 PCI Bus Binding for the device tree's `ranges`.

use core::fmt;

use little_loader_core::display::{Decimal, Hex, bare_hex};
use little_loader_core::tree::machine::PciHost;
use little_loader_core::units::Region;
use thiserror::Error;
use virtio_drivers::transport::pci::bus::{
    BarInfo, Cam, Command, ConfigurationAccess, DeviceFunction, MemoryBarType, MmioCam, PciError,
    PciRoot,
};
use virtio_drivers::transport::pci::{PciTransport, VirtioPciError};

use crate::cpu::mmu;
use crate::disk::virtio_hal::LoaderHal;

/// A configuration register read from where there is no device.
const NOBODY: u32 = 0xffff_ffff;
/// Vendor 0x1af4, device 0x1001 (transitional) or 0x1042 (VIRTIO 1.2, section 4.1.2).
const VIRTIO_BLK: [u32; 2] = [0x1001_1af4, 0x1042_1af4];
/// Header type, bits 22 to 16 of the register at offset 12: a bridge; bit 23: more than one function.
const BRIDGE: u32 = 1 << 16;
const HEADER_TYPE: u32 = 0x7f << 16;
const MULTI_FUNCTION: u32 = 1 << 23;

/// A bridge's bus numbers: before it, behind it, and the highest one behind it, a byte each.
const BUS_NUMBERS: u8 = 0x18;
/// A bridge's memory window: bits 31 to 20 of the last address in the upper half, of the first one in the lower half.
const MEMORY_WINDOW: u8 = 0x20;
/// What a bridge's window is aligned to.
const WINDOW_UNIT: u64 = 1 << 20;

/// The capability of PCI Express, and the types of port, bits 7 to 4 of its first register, that lead to a single device.
const CAPABILITY_PCI_EXPRESS: u8 = 0x10;
const ROOT_PORT: u16 = 4;
const DOWNSTREAM_PORT: u16 = 6;

/// The bytes of configuration space of one bus, as a power of two: 32 devices of 8 functions of 4 KiB.
const BUS_SHIFT: u32 = 20;

/// How many buses and how many block devices are kept.
const MAX_BUSES: usize = 64;
pub(crate) const MAX_DISKS: usize = 64;

/// Why a block device on PCI cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PciProblem {
    #[error("its registers cannot be sized")]
    Bars,
    #[error("no room for its registers of {} bytes in the PCI window {window}", Hex(*size, 1))]
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
        let DeviceFunction {
            bus,
            device,
            function,
        } = self.0;
        f.write_str("virtio-pci@")?;
        bare_hex(f, bus.into(), 2)?;
        f.write_str(":")?;
        bare_hex(f, device.into(), 2)?;
        write!(f, ".{}", Decimal(function.into()))
    }
}

/// The buses behind the host bridge.
pub(crate) struct Bus {
    configuration: MmioCam<'static>,
    window: Region,
    /// Up to where the window is given out.
    next: u64,
    /// The bridge before each bus but the first.
    bridges: [Option<DeviceFunction>; MAX_BUSES],
    /// The highest bus number in use, and the highest one that can be used.
    last: u8,
    highest: u8,
    disks: [Option<PciPlace>; MAX_DISKS],
    count: usize,
    /// How many bridges got no bus number; what is behind them is not looked at.
    pub(crate) bridges_left_out: usize,
    /// How many block devices there are beyond those kept.
    pub(crate) disks_left_out: usize,
}

impl Bus {
    /// Maps the configuration space, numbers the buses and finds the block devices.
    pub(crate) fn open(host: &PciHost) -> Self {
        mmu::map_device(host.configuration);
        mmu::map_device(host.window);
        let buses = host.configuration.length().0 >> BUS_SHIFT;
        let mut bus = Self {
            configuration: Self::configuration(host.configuration),
            window: host.window,
            next: host.window.start().0,
            bridges: [None; MAX_BUSES],
            last: 0,
            highest: buses.clamp(1, MAX_BUSES as u64) as u8 - 1,
            disks: [None; MAX_DISKS],
            count: 0,
            bridges_left_out: 0,
            disks_left_out: 0,
        };
        bus.scan(0, 32);
        bus
    }

    fn configuration(space: Region) -> MmioCam<'static> {
        // SAFETY: the DTB says that this is the configuration space of a host bridge, of at least one bus; it is mapped
        // as device memory, only buses that it holds are accessed, and one of these is used at a time.
        unsafe { MmioCam::new(space.start().0 as *mut u8, Cam::Ecam) }
    }

    fn root(&self) -> PciRoot<MmioCam<'static>> {
        // SAFETY: whoever asks for one uses nothing else until it is dropped.
        PciRoot::new(unsafe { self.configuration.unsafe_clone() })
    }

    /// The block devices, in the order of the buses, which is the one of QEMU's command line: what is behind a bridge comes
    /// in the bridge's place.
    pub(crate) fn block_devices(&self) -> impl Iterator<Item = PciPlace> + use<> {
        self.disks.into_iter().flatten()
    }

    /// Looks at the first devices of a bus and at what is behind them. The number of buses is the limit of the depth.
    fn scan(&mut self, bus: u8, devices: u8) {
        for device in 0..devices {
            let mut functions = 1;
            let mut function = 0;
            while function < functions {
                let place = DeviceFunction {
                    bus,
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
                        self.scan_behind(place);
                    } else if VIRTIO_BLK.contains(&id) {
                        self.keep(PciPlace(place));
                    }
                }
                function += 1;
            }
        }
    }

    /// Numbers the bus behind a bridge and looks at it.
    fn scan_behind(&mut self, bridge: DeviceFunction) {
        if self.last == self.highest {
            self.bridges_left_out += 1;
            return;
        }
        self.last += 1;
        let bus = self.last;
        self.bridges[usize::from(bus)] = Some(bridge);
        let (before, behind) = (u32::from(bridge.bus), u32::from(bus) << 8);
        // Until it is known how many there are, all buses from this one on are behind the bridge.
        let up_to = |last: u8| u32::from(last) << 16 | behind | before;
        let highest = up_to(self.highest);
        self.configuration.write_word(bridge, BUS_NUMBERS, highest);
        let leads_to_one = self.root().capabilities(bridge).any(|capability| {
            capability.id == CAPABILITY_PCI_EXPRESS
                && [ROOT_PORT, DOWNSTREAM_PORT].contains(&(capability.private_header >> 4 & 0xf))
        });
        self.scan(bus, if leads_to_one { 1 } else { 32 });
        let last = up_to(self.last);
        self.configuration.write_word(bridge, BUS_NUMBERS, last);
    }

    fn keep(&mut self, place: PciPlace) {
        match self.disks.get_mut(self.count) {
            Some(free) => {
                *free = Some(place);
                self.count += 1;
            }
            None => self.disks_left_out += 1,
        }
    }

    /// Gives a device addresses for its registers and turns it on.
    #[inline(never)]
    pub(crate) fn transport(&mut self, place: PciPlace) -> Result<PciTransport, PciProblem> {
        let mut root = self.root();
        if place.0.bus != 0 {
            // Bridges let through whole units, and those before different devices none that are the same.
            self.next = self.next.next_multiple_of(WINDOW_UNIT);
        }
        let start = self.next;
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
        let on = Command::MEMORY_SPACE | Command::BUS_MASTER;
        if self.next > start {
            let (first, last) = (start as u32 >> 16, (self.next - 1) as u32 >> 16);
            let mut bus = place.0.bus;
            while let Some(bridge) = self.bridges[usize::from(bus)] {
                // The window for memory without side effects of reads is as narrow as QEMU's reset makes it: none.
                self.configuration.write_word(
                    bridge,
                    MEMORY_WINDOW,
                    (last & 0xfff0) << 16 | first & 0xfff0,
                );
                root.set_command(bridge, on);
                bus = bridge.bus;
            }
            if place.0.bus != 0 {
                self.next = self.next.next_multiple_of(WINDOW_UNIT);
            }
        }
        root.set_command(place.0, on);
        Ok(PciTransport::new::<LoaderHal, _>(&mut root, place.0)?)
    }

    /// A free piece of the window, aligned to its size as PCI asks.
    fn take(&mut self, size: u64) -> Result<u64, PciProblem> {
        let address = self.next.checked_next_multiple_of(size);
        let window = self.window;
        match address.and_then(|address| Some((address, address.checked_add(size)?))) {
            Some((address, end)) if end <= window.end().0 => {
                self.next = end;
                Ok(address)
            }
            _ => Err(PciProblem::Window { size, window }),
        }
    }
}
