// SPDX-License-Identifier: MIT OR Apache-2.0

//! The configuration of a device whose registers have addresses, as its driver sees it. A driver
//! sizes base address registers again for each structure that it looks for. Under a hypervisor each
//! access is an exit, so reads are answered from what placing the registers has found, and writes
//! do not reach the device.

use super::configuration::COMMAND;

/// The offset of the first base address register (BAR), of 4 bytes.
pub(crate) const BAR_0: u8 = 0x10;
/// The number of base address registers.
pub(crate) const BARS: usize = 6;

/// The registers of a device that a driver sizes and restores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Status and command, with memory accesses off: a driver that sees them on turns them off
    /// while it sizes.
    pub(crate) status: u32,
    /// The values of the base address registers.
    pub(crate) bars: [u32; BARS],
    /// Their values after a write of all ones, which show the sizes.
    pub(crate) sizes: [u32; BARS],
}

/// Returns the index of the base address register at this offset.
fn bar_at(offset: u8) -> usize {
    usize::from(offset.wrapping_sub(BAR_0) / 4)
}

impl Placed {
    /// Returns the value of the register at `offset`, a multiple of 4, or `None` if it must be read
    /// from the device.
    #[must_use]
    pub fn read(&self, offset: u8) -> Option<u32> {
        match offset {
            COMMAND => Some(self.status),
            _ => self.bars.get(bar_at(offset)).copied(),
        }
    }

    /// Writes a base address register: all ones to see its size next, or the value that it had.
    pub fn write(&mut self, offset: u8, value: u32) {
        let index = bar_at(offset);
        if let (Some(bar), Some(size)) = (self.bars.get_mut(index), self.sizes.get(index)) {
            *bar = if value == u32::MAX { *size } else { value };
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::super::buses::Buses;
    use super::super::configuration::ConfigurationSpace;
    use super::super::simulated::{SimulatedMachine, parts};
    use super::super::windows::HostWindow;
    use super::*;
    use crate::units::{Addr, Bytes, Region};

    #[test]
    fn other_registers_are_read_from_the_device() {
        let placed = Placed::default();
        for offset in [0, 8, 0x0c, 0x28, 0x34, 0x40, 0xfc] {
            assert_eq!(placed.read(offset), None, "{offset:#x}");
        }
    }

    proptest! {
        #[test]
        fn sizing_shows_what_the_device_would_show(parts in parts()) {
            let mut machine = SimulatedMachine::new(parts);
            let mut buses = Buses::new(256);
            let disks = buses.all_disks(&mut machine);
            let window = Region::new(Addr(0x1000_0000), Bytes(0x4000_0000)).unwrap();
            let mut window = HostWindow::new(window);
            for disk in disks {
                let Ok(mut placed) = window.turn_on(&mut machine, &buses, disk) else {
                    continue;
                };
                let before = placed.clone();
                // What reads as on would be turned off, and on again.
                let status = machine.read(disk, COMMAND);
                prop_assert_eq!(placed.read(COMMAND), Some(status & !0b111));
                for index in 0..6 {
                    let offset = BAR_0 + 4 * index;
                    let value = machine.read(disk, offset);
                    prop_assert_eq!(placed.read(offset), Some(value));
                    machine.write(disk, offset, u32::MAX);
                    placed.write(offset, u32::MAX);
                    prop_assert_eq!(placed.read(offset), Some(machine.read(disk, offset)));
                    machine.write(disk, offset, value);
                    placed.write(offset, value);
                    prop_assert_eq!(placed.read(offset), Some(value));
                }
                placed.write(COMMAND, 0);
                prop_assert_eq!(placed, before);
            }
        }
    }
}
