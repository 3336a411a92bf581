// SPDX-License-Identifier: MIT OR Apache-2.0

//! A simulated PCI bus for the tests: accesses to configuration space are routed by the bridges'
//! bus numbers, and those to memory by their windows.

extern crate std;

use core::cell::Cell;
use std::boxed::Box;
use std::vec::Vec;

use proptest::prelude::*;

use super::configuration::{ConfigurationSpace, NO_FUNCTION, PciFunction};
use crate::units::{Addr, Bytes, Region};

/// The size that a base address register requests, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    Unused,
    Io(u32),
    Memory32(u32),
    Memory64(u64),
    /// The reserved type that once meant addresses below 1 MiB.
    Below1MiB,
    /// A size that is not a power of two: the decoded bits have a hole.
    Odd,
}

/// A function of a device.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Disk([Bar; 6]),
    Other,
    Expander,
    Bridge(Vec<(u8, Vec<Part>)>),
    /// A root port or the downstream port of a switch: only device 0 behind it is scanned.
    Port(Vec<(u8, Vec<Part>)>),
}

impl Part {
    /// Returns a disk with the base address registers of QEMU's.
    pub(super) fn disk() -> Self {
        let mut bars = [Bar::Unused; 6];
        bars[1] = Bar::Memory32(0x1000);
        bars[4] = Bar::Memory64(0x4000);
        Self::Disk(bars)
    }
}

/// Builds a bus of single-function devices, from device 0 on.
pub(super) fn bus(parts: impl IntoIterator<Item = Part>) -> Vec<(u8, Vec<Part>)> {
    (0..)
        .zip(parts)
        .map(|(device, part)| (device, Vec::from([part])))
        .collect()
}

/// A function with its registers and their writable bits.
struct Function {
    /// The bridge that leads to its bus.
    above: Option<usize>,
    device: u8,
    function: u8,
    registers: [u32; 64],
    writable: [u32; 64],
    is_disk: bool,
    is_bridge: bool,
}

/// The functions of a machine, in the order in which the scan must find them.
pub(super) struct SimulatedMachine {
    functions: Vec<Function>,
    /// The number of register reads and writes.
    pub(super) accesses: Cell<usize>,
    /// The number of writes that reached no function.
    pub(super) lost_writes: usize,
}

impl SimulatedMachine {
    pub(super) fn new(parts: Vec<(u8, Vec<Part>)>) -> Self {
        let mut machine = Self {
            functions: Vec::new(),
            accesses: Cell::new(0),
            lost_writes: 0,
        };
        machine.add_bus(None, parts);
        machine
    }

    fn add_bus(&mut self, above: Option<usize>, parts: Vec<(u8, Vec<Part>)>) {
        for (device, functions) in parts {
            let is_multi = functions.len() > 1;
            for (function, part) in (0..).zip(functions) {
                self.add(above, (device, function), is_multi, part);
            }
        }
    }

    fn add(&mut self, above: Option<usize>, place: (u8, u8), is_multi: bool, part: Part) {
        let mut registers = [0; 64];
        let mut writable = [0; 64];
        writable[1] = 0b111;
        registers[3] = u32::from(is_multi) << 23;
        registers[0] = match &part {
            Part::Disk(bars) => {
                for (index, bar) in bars.iter().enumerate() {
                    let (flags, decoded): (u32, u64) = match *bar {
                        Bar::Unused => continue,
                        Bar::Io(size) => (1, u64::from(size).wrapping_neg()),
                        Bar::Memory32(size) => (0, u64::from(size).wrapping_neg()),
                        Bar::Memory64(size) => (4, size.wrapping_neg()),
                        Bar::Below1MiB => (2, u64::MAX << 12),
                        Bar::Odd => (0, 0xffff_d000),
                    };
                    registers[4 + index] = flags;
                    writable[4 + index] = decoded as u32;
                    if flags == 4 && index < 5 {
                        writable[5 + index] = (decoded >> 32) as u32;
                    }
                }
                0x1042_1af4
            }
            Part::Other => 0x1000_1af4,
            Part::Expander => 0x000b_1b36,
            Part::Bridge(_) | Part::Port(_) => {
                registers[3] |= 1 << 16;
                writable[6] = 0x00ff_ffff;
                writable[8] = 0xfff0_fff0;
                // After a reset, the window is open from 0 to 1 MiB, and memory accesses are off.
                0x000c_1b36
            }
        };
        if let Part::Port(_) = part {
            registers[1] = 1 << 20;
            registers[13] = 0x40;
            registers[16] = 0x0042_0010;
        }
        let index = self.functions.len();
        self.functions.push(Function {
            above,
            device: place.0,
            function: place.1,
            registers,
            writable,
            is_disk: matches!(part, Part::Disk(_)),
            is_bridge: matches!(part, Part::Bridge(_) | Part::Port(_)),
        });
        if let Part::Bridge(below) | Part::Port(below) = part {
            self.add_bus(Some(index), below);
        }
    }

    /// Gives a function two capabilities that lead to each other.
    pub(super) fn make_capabilities_circular(&mut self, place: PciFunction) {
        let index = self.part_at(place).unwrap();
        let registers = &mut self.functions[index].registers;
        registers[1] |= 1 << 20;
        registers[13] = 0x40;
        registers[16] = 0x4405;
        registers[17] = 0x4005;
    }

    /// Returns a bridge's primary, secondary and subordinate bus numbers.
    fn numbers(&self, bridge: usize) -> [u8; 3] {
        let [before, first, last, _] = self.functions[bridge].registers[6].to_le_bytes();
        [before, first, last]
    }

    /// Returns the function at this place, routed by the bridges' bus numbers.
    pub(super) fn part_at(&self, place: PciFunction) -> Option<usize> {
        let mut above = None;
        let mut bus = 0;
        while bus != place.bus {
            let leads_there = |index: &usize| {
                let [_, first, last] = self.numbers(*index);
                let function = &self.functions[*index];
                function.above == above
                    && function.is_bridge
                    && (first..=last).contains(&place.bus)
                    && first > bus
            };
            let bridge = (0..self.functions.len()).find(leads_there)?;
            bus = self.numbers(bridge)[1];
            above = Some(bridge);
        }
        self.functions.iter().position(|function| {
            function.above == above
                && (function.device, function.function) == (place.device, place.function)
        })
    }

    /// Returns the disks, in the order in which the scan must find them.
    pub(super) fn disks(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.functions.len()).filter(|index| self.functions[*index].is_disk)
    }

    /// Returns the bus numbers of the bridges that have been numbered.
    pub(super) fn numbered_bridges(&self) -> Vec<[u8; 3]> {
        (0..self.functions.len())
            .map(|index| self.numbers(index))
            .filter(|numbers| numbers[1] > 0)
            .collect()
    }

    /// Returns the memory regions of a function.
    pub(super) fn memory_of(&self, place: PciFunction) -> Vec<Region> {
        let function = &self.functions[self.part_at(place).unwrap()];
        let mut regions = Vec::new();
        let mut index = 4;
        while index < 10 {
            let low = function.registers[index];
            let writable = function.writable[index];
            let is_64_bit = low & 0b111 == 0b100;
            if writable != 0 && low & 1 == 0 {
                let (high, decoded) = if is_64_bit {
                    (function.registers[index + 1], function.writable[index + 1])
                } else {
                    (0, u32::MAX)
                };
                let size = (u64::from(decoded) << 32 | u64::from(writable)).wrapping_neg();
                let start = u64::from(high) << 32 | u64::from(low & !0xf);
                regions.push(Region::new(Addr(start), Bytes(size)).unwrap());
            }
            index += if is_64_bit { 2 } else { 1 };
        }
        regions
    }

    /// Returns the disks that respond to an access to memory, given all command registers and the
    /// bridges' windows.
    pub(super) fn answering(&self, address: u64) -> Vec<PciFunction> {
        let is_on = |function: &Function| function.registers[1] & 0b110 == 0b110;
        let mut answering = Vec::new();
        for function in self.functions.iter().filter(|function| function.is_disk) {
            let mut above = function.above;
            let mut is_reached = is_on(function);
            while let Some(bridge) = above.map(|index| &self.functions[index]) {
                let window = u64::from(bridge.registers[8]);
                let first = (window & 0xfff0) << 16;
                let last = window & 0xfff0_0000 | 0xf_ffff;
                is_reached &= is_on(bridge) && (first..=last).contains(&address);
                above = bridge.above;
            }
            let place = PciFunction {
                bus: function.above.map_or(0, |bridge| self.numbers(bridge)[1]),
                device: function.device,
                function: function.function,
            };
            let holds = |region: &Region| (region.start().0..region.end().0).contains(&address);
            if is_reached && self.memory_of(place).iter().any(holds) {
                answering.push(place);
            }
        }
        answering
    }
}

impl ConfigurationSpace for SimulatedMachine {
    fn read(&self, function: PciFunction, offset: u8) -> u32 {
        self.accesses.set(self.accesses.get() + 1);
        assert!(offset.is_multiple_of(4));
        self.part_at(function).map_or(NO_FUNCTION, |index| {
            self.functions[index].registers[usize::from(offset) / 4]
        })
    }

    fn write(&mut self, function: PciFunction, offset: u8, value: u32) {
        self.accesses.set(self.accesses.get() + 1);
        let Some(index) = self.part_at(function) else {
            self.lost_writes += 1;
            return;
        };
        let function = &mut self.functions[index];
        let register = usize::from(offset) / 4;
        let writable = function.writable[register];
        let register = &mut function.registers[register];
        *register = *register & !writable | value & writable;
    }
}

/// Generates any machine.
pub(super) fn parts() -> impl Strategy<Value = Vec<(u8, Vec<Part>)>> {
    let size = |bits: std::ops::Range<u32>| bits.prop_map(|bits| 1_u32 << bits);
    let bar = prop_oneof![
        2 => Just(Bar::Unused),
        1 => size(2..8).prop_map(Bar::Io),
        2 => size(7..22).prop_map(Bar::Memory32),
    ];
    let bars = [
        bar.clone(),
        bar.clone(),
        bar.clone(),
        bar.clone(),
        bar.clone(),
        bar,
    ];
    let disk =
        (bars, proptest::option::of(0..5_usize), size(7..22)).prop_map(|(mut bars, wide, size)| {
            if let Some(index) = wide {
                bars[index] = Bar::Memory64(size.into());
                bars[index + 1] = Bar::Unused;
            }
            Part::Disk(bars)
        });
    let leaf = prop_oneof![disk, Just(Part::disk()), Just(Part::Other)];
    let any_bus = |part: BoxedStrategy<Part>| {
        let functions = proptest::collection::vec(part, 1..4);
        proptest::collection::btree_map(0..32_u8, functions, 0..5)
            .prop_map(|bus| bus.into_iter().collect::<Vec<_>>())
            .boxed()
    };
    let part = leaf.prop_recursive(5, 100, 12, move |part| {
        let below: BoxedStrategy<Vec<(u8, Vec<Part>)>> = any_bus(part.clone().boxed());
        let port = proptest::option::of(proptest::collection::vec(part.boxed(), 1..4));
        prop_oneof![
            below.prop_map(Part::Bridge),
            port.prop_map(|device| Part::Port(device.into_iter().map(|all| (0, all)).collect())),
        ]
    });
    let whole: Box<dyn Fn(BoxedStrategy<Part>) -> _> = Box::new(any_bus);
    whole(part.boxed())
}
