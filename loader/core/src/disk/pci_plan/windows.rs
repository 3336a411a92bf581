// SPDX-License-Identifier: MIT OR Apache-2.0

//! Assigns addresses to the registers of a block device, and sets the windows of the bridges on the
//! path to it.

use thiserror::Error;

use super::buses::Buses;
use super::configuration::{
    COMMAND, ConfigurationSpace, EndlessList, PciFunction, any_capability_after,
};
use super::placed::{BAR_0, BARS, Placed};
use crate::units::{Addr, Bytes, Region};

/// BAR, bit 0: I/O. Otherwise bits 2 and 1: 0 for a 32-bit address, 2 for a 64-bit one, whose upper
/// half is in the next register. The address starts at bit 4.
const BAR_IO: u32 = 1;
const BAR_TYPE: u32 = 0b110;
const BAR_64: u32 = 0b100;
const BAR_FLAGS: u64 = 0xf;

/// A bridge's memory window: bits 31 to 20 of the first address in bits 15 to 4, those of the last
/// address in bits 31 to 20.
const MEMORY_WINDOW: u8 = 0x20;
/// The unit of a bridge's window, in bytes.
const WINDOW_UNIT: u64 = 1 << 20;

/// The first address that does not fit 32 bits.
const END: u64 = 1 << 32;

/// Command: accesses to I/O and memory.
const MEMORY_AND_IO: u32 = 1 << 0 | 1 << 1;
/// Command: memory accesses and DMA.
const MEMORY_AND_DMA: u32 = 1 << 1 | 1 << 2;

/// A reason why a device cannot be turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BarError {
    /// A base address register is of a reserved type, or its size is not a power of two.
    #[error("its base address register {index} cannot be sized")]
    Size {
        /// The index of the register, 0 to 5.
        index: u8,
    },
    /// The list of capabilities is circular: the driver would follow it endlessly.
    #[error("its list of capabilities leads back to itself")]
    Capabilities,
    /// The window is full.
    #[error("no room for its registers of {size} in the PCI window {window}")]
    Window {
        /// The size of the registers.
        size: Bytes,
        /// The host bridge's window.
        window: Region,
    },
}

/// The window of a host bridge for 32-bit addresses, allocated from its start.
#[derive(Clone, Debug)]
pub struct HostWindow {
    window: Region,
    /// The start of the free part.
    next: u64,
}

impl HostWindow {
    /// Creates a window with nothing allocated. Addresses from 4 GiB on stay unused.
    #[must_use]
    pub fn new(window: Region) -> Self {
        Self {
            window,
            next: window.start().0.min(END),
        }
    }

    /// Assigns addresses to the registers of a device that is off, sets the windows of the bridges
    /// on the path to it, and turns on its memory accesses and DMA. These windows then forward the
    /// registers of this device and no others: one disk is in use at a time. Returns the device's
    /// registers for its driver.
    ///
    /// # Errors
    ///
    /// When there is no room, a register cannot be sized, or the list of capabilities is circular;
    /// the device stays off.
    pub fn turn_on(
        &mut self,
        space: &mut impl ConfigurationSpace,
        buses: &Buses,
        device: PciFunction,
    ) -> Result<Placed, BarError> {
        let has_bridges = buses.bridges_to(device.bus).next().is_some();
        if has_bridges {
            // A bridge forwards whole units: no two bridges may share one.
            self.next = self.next.next_multiple_of(WINDOW_UNIT);
        }
        let start = self.next;
        let mut placed = Placed {
            status: space.read(device, COMMAND) & !MEMORY_AND_IO,
            ..Placed::default()
        };
        let no_match = |_| false;
        if any_capability_after(placed.status, space, device, no_match) == Err(EndlessList) {
            return Err(BarError::Capabilities);
        }
        space.write(device, COMMAND, 0);
        let mut index = 0;
        while index < BARS {
            index += self.place_bar(space, device, index, &mut placed)?;
        }
        if has_bridges && self.next > start {
            // Below 4 GiB, since all BARs are.
            let (first, last) = (start as u32, (self.next - 1) as u32);
            for bridge in buses.bridges_to(device.bus) {
                // The window for prefetchable memory stays empty, as after a reset.
                let window = last & 0xfff0_0000 | first >> 16 & 0xfff0;
                space.write(bridge, MEMORY_WINDOW, window);
                space.write(bridge, COMMAND, MEMORY_AND_DMA);
            }
            self.next = self.next.next_multiple_of(WINDOW_UNIT);
        }
        space.write(device, COMMAND, MEMORY_AND_DMA);
        Ok(placed)
    }

    /// Sizes and sets the BAR at `index`. Returns the number of its registers.
    fn place_bar(
        &mut self,
        space: &mut impl ConfigurationSpace,
        device: PciFunction,
        index: usize,
        placed: &mut Placed,
    ) -> Result<usize, BarError> {
        let offset = |index: usize| BAR_0 + 4 * index as u8;
        // Address bits that the device does not decode read as 0.
        let mut sized = |index: usize| {
            space.write(device, offset(index), u32::MAX);
            let size = space.read(device, offset(index));
            placed.sizes[index] = size;
            size
        };
        let low = sized(index);
        if low == 0 {
            return Ok(1);
        }
        let is_64_bit = low & (BAR_IO | BAR_TYPE) == BAR_64;
        let has_next = index + 1 < BARS;
        let high = if is_64_bit && has_next {
            sized(index + 1)
        } else {
            u32::MAX
        };
        let decoded = (u64::from(high) << 32 | u64::from(low)) & !BAR_FLAGS;
        let size = decoded.wrapping_neg();
        let address = if low & BAR_IO != 0 {
            Ok(0)
        } else if low & BAR_TYPE != 0 && !(is_64_bit && has_next) || !size.is_power_of_two() {
            Err(BarError::Size { index: index as u8 })
        } else {
            self.take(Bytes(size))
        };
        // An I/O BAR, or one without room in the window, gets back its value after a reset.
        let flags = match low & BAR_IO {
            0 => low & BAR_FLAGS as u32,
            _ => BAR_IO,
        };
        let low = *address.as_ref().unwrap_or(&0) as u32;
        space.write(device, offset(index), low);
        placed.bars[index] = low | flags;
        if is_64_bit && has_next {
            space.write(device, offset(index + 1), 0);
        }
        address.map(|_| if is_64_bit { 2 } else { 1 })
    }

    /// Allocates a piece of the window, aligned to its size as PCI requires.
    fn take(&mut self, size: Bytes) -> Result<u64, BarError> {
        let window = self.window;
        self.next
            .checked_next_multiple_of(size.0)
            .and_then(|address| Region::new(Addr(address), size))
            .filter(|piece| window.contains(*piece) && piece.end().0 <= END)
            .map(|piece| {
                self.next = piece.end().0;
                piece.start().0
            })
            .ok_or(BarError::Window { size, window })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::simulated::{Bar, Part, SimulatedMachine, bus};
    use super::*;

    fn window(start: u64, length: u64) -> HostWindow {
        HostWindow::new(Region::new(Addr(start), Bytes(length)).unwrap())
    }

    fn found(parts: Vec<(u8, Vec<Part>)>) -> (SimulatedMachine, Buses, Vec<PciFunction>) {
        let mut machine = SimulatedMachine::new(parts);
        let mut buses = Buses::new(256);
        let disks = buses.all_disks(&mut machine);
        (machine, buses, disks)
    }

    #[test]
    fn registers_are_aligned_to_their_size() {
        let disk = Part::Disk([
            Bar::Io(0x80),
            Bar::Memory32(0x1000),
            Bar::Unused,
            Bar::Unused,
            Bar::Memory64(0x4000),
            Bar::Unused,
        ]);
        let (mut machine, buses, disks) = found(Vec::from([(1, Vec::from([disk]))]));
        let mut window = window(0x1000_0000, 0x10_0000);
        let device = disks[0];
        window.turn_on(&mut machine, &buses, device).unwrap();
        let registers = [0, 1, 2, 3, 4, 5].map(|index| machine.read(device, BAR_0 + 4 * index));
        assert_eq!(registers, [1, 0x1000_0000, 0, 0, 0x1000_4004, 0]);
        assert_eq!(machine.read(device, COMMAND) & 7, MEMORY_AND_DMA);
    }

    #[test]
    fn a_bridge_lets_through_whole_units() {
        let parts = bus([Part::disk(), Part::Port(bus([Part::disk()])), Part::disk()]);
        let (mut machine, buses, disks) = found(parts);
        let mut window = window(0x1000_0000, 0x1000_0000);
        for disk in &disks {
            window.turn_on(&mut machine, &buses, *disk).unwrap();
        }
        let bridge = buses.bridges_to(1).next().unwrap();
        assert_eq!(machine.read(bridge, MEMORY_WINDOW), 0x1010_1010);
        assert_eq!(machine.memory_of(disks[1])[0].start().0, 0x1010_0000);
        assert_eq!(machine.memory_of(disks[2])[0].start().0, 0x1020_0000);
    }

    #[test]
    fn a_bridge_lets_through_no_more_than_the_units_in_use() {
        let mut bars = [Bar::Unused; 6];
        bars[0] = Bar::Memory32(0x10_0000);
        let (mut machine, buses, disks) = found(bus([Part::Port(bus([Part::Disk(bars)]))]));
        // The last unit below 4 GiB.
        let mut window = window(0xfff0_0000, 0x10_0000);
        let disk = disks[0];
        window.turn_on(&mut machine, &buses, disk).unwrap();
        let bridge = buses.bridges_to(1).next().unwrap();
        assert_eq!(machine.read(bridge, MEMORY_WINDOW), 0xfff0_fff0);
    }

    #[test]
    fn a_window_has_an_end() {
        let refused = |mut window: HostWindow, bar| {
            let bars = [
                bar,
                Bar::Unused,
                Bar::Unused,
                Bar::Unused,
                Bar::Unused,
                Bar::Unused,
            ];
            let (mut machine, buses, disks) = found(bus([Part::Disk(bars)]));
            let error = window.turn_on(&mut machine, &buses, disks[0]).unwrap_err();
            // The device is as before the attempt.
            assert_eq!(machine.read(disks[0], COMMAND) & 7, 0);
            assert_eq!(machine.read(disks[0], BAR_0) & !0xf, 0);
            error.to_string()
        };
        assert_eq!(
            refused(window(0x1000_0000, 0x3fff), Bar::Memory64(0x4000)),
            "no room for its registers of 16 KiB in the PCI window 0x10000000..0x10003fff"
        );
        // Addresses from 4 GiB on do not fit the register.
        for start in [0xffff_f000, 1 << 32, u64::MAX - 0x10_0000] {
            let error = refused(window(start, 0x10_0000), Bar::Memory32(0x2000));
            assert!(
                error.starts_with("no room for its registers of 8 KiB"),
                "{error}"
            );
        }
        for bar in [Bar::Below1MiB, Bar::Odd] {
            let error = refused(window(0x1000_0000, 0x10_0000), bar);
            assert_eq!(error, "its base address register 0 cannot be sized");
        }
    }

    #[test]
    fn capabilities_without_an_end_are_refused() {
        let (mut machine, buses, disks) = found(bus([Part::disk()]));
        let disk = disks[0];
        machine.make_capabilities_circular(disk);
        let error = window(0x1000_0000, 0x10_0000)
            .turn_on(&mut machine, &buses, disk)
            .unwrap_err();
        assert_eq!(error, BarError::Capabilities);
    }

    #[test]
    fn a_64_bit_address_does_not_fit_the_last_register() {
        let mut bars = [Bar::Unused; 6];
        bars[5] = Bar::Memory64(0x4000);
        let (mut machine, buses, disks) = found(bus([Part::Disk(bars)]));
        let error = window(0x1000_0000, 0x10_0000)
            .turn_on(&mut machine, &buses, disks[0])
            .unwrap_err();
        assert_eq!(error, BarError::Size { index: 5 });
    }

    proptest! {
        #[test]
        fn registers_are_reached_at_their_address_and_overlap_no_others(
            parts in super::super::simulated::parts(),
            start in 0x10_u64..0x1000,
            mebibytes in 1_u64..64,
        ) {
            let (mut machine, buses, disks) = found(parts);
            let range = Region::new(Addr(start << 16), Bytes(mebibytes << 20)).unwrap();
            let mut window = HostWindow::new(range);
            let mut given: Vec<Region> = Vec::new();
            for disk in &disks {
                match window.turn_on(&mut machine, &buses, *disk) {
                    Ok(_) => {
                        for piece in machine.memory_of(*disk) {
                            prop_assert!(range.contains(piece));
                            prop_assert!(piece.start().0.is_multiple_of(piece.length().0));
                            prop_assert!(given.iter().all(|other| !other.overlaps(piece)));
                            for address in [piece.start().0, piece.end().0 - 1] {
                                prop_assert_eq!(machine.answering(address), [*disk]);
                            }
                            given.push(piece);
                        }
                    }
                    Err(BarError::Window { size, window }) => {
                        prop_assert!(window == range && size <= Bytes(4 << 20));
                        prop_assert_eq!(machine.read(*disk, COMMAND) & 7, 0);
                    }
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
            prop_assert_eq!(machine.lost_writes, 0);
        }
    }
}
