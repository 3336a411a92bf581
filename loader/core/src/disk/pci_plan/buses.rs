// SPDX-License-Identifier: MIT OR Apache-2.0

//! Assigns bus numbers and finds the block devices on the buses. The scan is depth first: the disks
//! are in the order of QEMU's command line, those behind a bridge in the bridge's place. It stops
//! at each disk, since under a hypervisor each access to a device is an exit, and most machines
//! boot from the first disk.

#[cfg(test)]
extern crate std;

use arrayvec::ArrayVec;

use super::configuration::{ConfigurationSpace, NO_FUNCTION, PciFunction, any_capability};

/// The maximum number of buses that get a number, including bus 0.
pub const MAX_BUSES: usize = 64;

/// Device and vendor: 0x1001 (transitional) or 0x1042 of 0x1af4 (VIRTIO 1.2, section 4.1.2).
const VIRTIO_BLK: [u32; 2] = [0x1001_1af4, 0x1042_1af4];
/// Device and vendor of QEMU's `pxb-pcie` (QEMU, `docs/specs/pci-ids`).
const EXPANDER: u32 = 0x000b_1b36;

const DEVICE_AND_VENDOR: u8 = 0x00;
/// Bits 22 to 16: the header type, 1 for a bridge; bit 23: more than one function.
const HEADER: u8 = 0x0c;
const HEADER_TYPE: u32 = 0x7f << 16;
const BRIDGE: u32 = 1 << 16;
const MULTI_FUNCTION: u32 = 1 << 23;
/// A bridge's bus numbers, one byte each: primary (the bus it is on), secondary (the bus it leads
/// to), and subordinate (the highest bus behind it).
const BUS_NUMBERS: u8 = 0x18;

const DEVICES_OF_A_BUS: u8 = 32;
const FUNCTIONS_OF_A_DEVICE: u8 = 8;

/// Whether a capability shows that the function is a port to a single device: a PCI Express root
/// port or a switch's downstream port.
fn leads_to_one_device(capability: u32) -> bool {
    const PCI_EXPRESS: u32 = 0x10;
    const PORT_TYPE_SHIFT: u32 = 20;
    const ROOT_PORT: u32 = 4;
    const DOWNSTREAM_PORT: u32 = 6;
    capability & 0xff == PCI_EXPRESS
        && [ROOT_PORT, DOWNSTREAM_PORT].contains(&(capability >> PORT_TYPE_SHIFT & 0xf))
}

/// The numbered buses behind a host bridge, and the state of the scan.
#[derive(Clone, Debug)]
pub struct Buses {
    /// The highest bus number that the configuration space has room for.
    highest: u8,
    /// The bridge that leads to bus 1, the one that leads to bus 2, and so on.
    bridges: ArrayVec<PciFunction, { MAX_BUSES - 1 }>,
    /// The bridges on the path to the current bus.
    above: ArrayVec<Position, MAX_BUSES>,
    /// The next function to scan.
    at: Position,
    /// The number of bridges that got no bus number.
    pub bridges_left_out: usize,
    /// The number of QEMU's expander bridges (`pxb-pcie`). Each has a root bus whose number only
    /// ACPI reports; a kernel started with a device tree does not find it.
    pub expanders: usize,
}

/// A function on a bus, to scan or to return to.
#[derive(Clone, Copy, Debug)]
struct Position {
    function: PciFunction,
    /// The number of devices to scan on the bus, and of functions in the device.
    devices: u8,
    functions: u8,
}

impl Position {
    fn start_of(bus: u8, devices: u8) -> Self {
        Self {
            function: PciFunction {
                bus,
                device: 0,
                function: 0,
            },
            devices,
            functions: 1,
        }
    }

    fn advance(&mut self) {
        let place = &mut self.function;
        place.function += 1;
        if place.function >= self.functions {
            place.function = 0;
            place.device += 1;
            self.functions = 1;
        }
    }
}

/// What the scan found at a position.
enum Found {
    Bridge,
    Disk,
    Other,
}

impl Buses {
    /// Starts the scan. The configuration space has room for `buses` buses; bus 0 is scanned in any
    /// case.
    #[must_use]
    pub fn new(buses: u64) -> Self {
        Self {
            highest: buses.clamp(1, MAX_BUSES as u64) as u8 - 1,
            bridges: ArrayVec::new(),
            above: ArrayVec::new(),
            at: Position::start_of(0, DEVICES_OF_A_BUS),
            bridges_left_out: 0,
            expanders: 0,
        }
    }

    /// Scans on to the next block device, and assigns numbers to the buses on the way. Returns
    /// `None` when all buses have been scanned.
    pub fn next_disk(&mut self, space: &mut impl ConfigurationSpace) -> Option<PciFunction> {
        loop {
            let here = self.at.function;
            if here.device == self.at.devices {
                self.at = self.above.pop()?;
                self.at.advance();
                continue;
            }
            match self.look_at(space) {
                Found::Bridge if self.last() < self.highest => {
                    let _ = self.bridges.try_push(here);
                    let _ = self.above.try_push(self.at);
                    let bus = self.last();
                    self.forward(space, bus);
                    let devices = match any_capability(space, here, leads_to_one_device) {
                        Ok(true) => 1,
                        _ => DEVICES_OF_A_BUS,
                    };
                    self.at = Position::start_of(bus, devices);
                    continue;
                }
                Found::Bridge => self.bridges_left_out += 1,
                Found::Disk => {
                    self.at.advance();
                    return Some(here);
                }
                Found::Other => {}
            }
            self.at.advance();
        }
    }

    fn look_at(&mut self, space: &impl ConfigurationSpace) -> Found {
        let here = self.at.function;
        let id = space.read(here, DEVICE_AND_VENDOR);
        if id == NO_FUNCTION {
            return Found::Other;
        }
        let header = space.read(here, HEADER);
        if here.function == 0 && header & MULTI_FUNCTION != 0 {
            self.at.functions = FUNCTIONS_OF_A_DEVICE;
        }
        if header & HEADER_TYPE == BRIDGE {
            return Found::Bridge;
        }
        if id == EXPANDER {
            self.expanders += 1;
        }
        if VIRTIO_BLK.contains(&id) {
            return Found::Disk;
        }
        Found::Other
    }

    /// Makes the bridges on the path forward `last`, the bus behind the nearest one. Other bridges
    /// keep their numbers, so the numbers are consistent wherever the scan stops.
    fn forward(&self, space: &mut impl ConfigurationSpace, last: u8) {
        let mut behind = last;
        for bridge in self.bridges_to(last) {
            let numbers = u32::from_le_bytes([bridge.bus, behind, last, 0]);
            space.write(bridge, BUS_NUMBERS, numbers);
            behind = bridge.bus;
        }
    }

    /// Returns the highest bus number in use.
    fn last(&self) -> u8 {
        self.bridges.len() as u8
    }

    /// Returns the bridges on the path to a bus, the nearest one first.
    pub fn bridges_to(&self, bus: u8) -> impl Iterator<Item = PciFunction> + '_ {
        let before = |bus: u8| self.bridges.get(usize::from(bus).checked_sub(1)?).copied();
        core::iter::successors(before(bus), move |bridge| before(bridge.bus))
    }

    /// Scans all buses. Returns the block devices in the order of the scan.
    #[cfg(test)]
    pub(super) fn all_disks(
        &mut self,
        space: &mut impl ConfigurationSpace,
    ) -> std::vec::Vec<PciFunction> {
        core::iter::from_fn(|| self.next_disk(space)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::simulated::{Part, SimulatedMachine, bus, parts};
    use super::*;

    fn scanned(machine: &mut SimulatedMachine, room: u64) -> (Buses, Vec<PciFunction>) {
        let mut buses = Buses::new(room);
        let disks = buses.all_disks(machine);
        (buses, disks)
    }

    fn names(disks: &[PciFunction]) -> Vec<String> {
        disks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn disks_are_in_the_order_of_the_command_line() {
        // A disk; a switch with a disk at its second port; a disk; a port and a bridge with a disk
        // behind them.
        let mut machine = SimulatedMachine::new(bus([
            Part::disk(),
            Part::Port(bus([Part::Bridge(bus([
                Part::Port(bus([])),
                Part::Port(bus([Part::disk()])),
            ]))])),
            Part::disk(),
            Part::Port(bus([Part::Bridge(bus([Part::Other, Part::disk()]))])),
        ]));
        let (buses, disks) = scanned(&mut machine, 256);
        assert_eq!(names(&disks), ["00:00.0", "04:00.0", "00:02.0", "06:01.0"]);
        let before: Vec<_> = buses
            .bridges_to(4)
            .map(|bridge| bridge.to_string())
            .collect();
        assert_eq!(before, ["02:01.0", "01:00.0", "00:01.0"]);
        assert_eq!(buses.bridges_to(0).count(), 0);
        assert_eq!(buses.bridges_to(7).count(), 0);
    }

    #[test]
    fn functions_other_than_the_first_are_looked_at_where_there_are_some() {
        let functions = Vec::from([Part::Other, Part::disk(), Part::Port(bus([Part::disk()]))]);
        let mut machine = SimulatedMachine::new(Vec::from([(3, functions)]));
        let (_, disks) = scanned(&mut machine, 256);
        assert_eq!(names(&disks), ["00:03.1", "01:00.0"]);
        // Reads of the ID: 32 devices, 7 more functions, the device behind the port. A read of the
        // header: the 4 functions present. A write of bus numbers. The port's capability: reads of
        // status, pointer, and capability.
        assert_eq!(machine.accesses.get(), 32 + 7 + 1 + 4 + 1 + 3);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let ports = |count| bus((0..count).map(|_| Part::Port(bus([Part::disk()]))));
        let (buses, disks) = scanned(&mut SimulatedMachine::new(ports(16)), 16);
        assert_eq!((disks.len(), buses.bridges_left_out), (15, 1));
        // Bus 0 is scanned even if the configuration space has room for no bus.
        let (buses, disks) = scanned(&mut SimulatedMachine::new(ports(2)), 0);
        assert_eq!((disks.len(), buses.bridges_left_out), (0, 2));
        let mut machine = SimulatedMachine::new(bus([Part::Expander, Part::Expander]));
        let (buses, disks) = scanned(&mut machine, 256);
        assert_eq!((disks.len(), buses.expanders), (0, 2));
    }

    #[test]
    fn the_scan_reads_no_further_than_to_the_next_disk() {
        let mut machine = SimulatedMachine::new(bus([Part::Other, Part::disk(), Part::disk()]));
        let mut buses = Buses::new(256);
        let mut next = |reads| {
            machine.accesses.set(0);
            let disk = buses.next_disk(&mut machine);
            assert_eq!(machine.accesses.get(), reads);
            disk.map(|disk| disk.to_string())
        };
        // The ID and the header of each function.
        assert_eq!(next(4).as_deref(), Some("00:01.0"));
        assert_eq!(next(2).as_deref(), Some("00:02.0"));
        assert_eq!(next(29), None);
        assert_eq!(next(0), None);
    }

    #[test]
    fn a_chain_of_bridges_ends_with_the_numbers() {
        let chain = (0..80).fold(bus([Part::disk()]), |below, _| bus([Part::Bridge(below)]));
        let (buses, disks) = scanned(&mut SimulatedMachine::new(chain), 256);
        assert_eq!((disks.len(), buses.bridges_left_out), (0, 1));
        assert_eq!(buses.bridges_to(63).count(), 63);
    }

    #[test]
    fn capabilities_that_lead_in_a_circle_have_an_end() {
        let mut machine = SimulatedMachine::new(bus([Part::Bridge(bus([Part::disk()]))]));
        let first = PciFunction {
            bus: 0,
            device: 0,
            function: 0,
        };
        machine.make_capabilities_circular(first);
        let (_, disks) = scanned(&mut machine, 256);
        assert_eq!(names(&disks), ["01:00.0"]);
    }

    proptest! {
        #[test]
        fn every_disk_is_found_and_bus_numbers_are_nested(parts in parts(), room in 0_u64..80) {
            let mut machine = SimulatedMachine::new(parts);
            let mut buses = Buses::new(room);
            let mut disks = Vec::new();
            while let Some(disk) = buses.next_disk(&mut machine) {
                disks.push(disk);
                // No bridge forwards a bus that has no number yet.
                let last = buses.last();
                prop_assert!(machine.numbered_bridges().iter().all(|range| range[2] <= last));
            }
            prop_assert_eq!(machine.lost_writes, 0);
            // If nothing is left out, the disks are those of the machine, in its order.
            let disks: Vec<_> = disks.iter().map(|disk| machine.part_at(*disk)).collect();
            if buses.bridges_left_out == 0 {
                prop_assert_eq!(&disks, &machine.disks().map(Some).collect::<Vec<_>>());
            }
            prop_assert!(disks.iter().all(Option::is_some));
            let ranges = machine.numbered_bridges();
            prop_assert_eq!(ranges.len(), buses.bridges.len());
            for (index, [before, first, last]) in ranges.iter().enumerate() {
                prop_assert!(before < first && first <= last);
                prop_assert!(u64::from(*last) < room.clamp(1, MAX_BUSES as u64));
                for [_, other_first, other_last] in &ranges[..index] {
                    let is_within = other_first < first && last <= other_last;
                    let is_apart = last < other_first || other_last < first;
                    prop_assert!(is_within || is_apart, "{:?}", ranges);
                }
            }
        }
    }
}
