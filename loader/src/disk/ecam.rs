// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PCI configuration space: an array of memory-mapped registers (ECAM), of the length in the
//! device tree. Each access is one plain load or store.
//!
//! Source: PCI Express Base Specification 3.0, section 7.2.2 (ECAM).

use little_loader_core::disk::pci_plan::configuration::{
    ConfigurationSpace, NO_FUNCTION, PciFunction,
};
use safe_mmio::fields::ReadPureWrite;
use safe_mmio::{SharedMmioPointer, UniqueMmioPointer};
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

use crate::cpu::mmu::DeviceMemory;

/// The lowest address bits of the function, device and bus numbers.
const FUNCTION_SHIFT: u32 = 12;
const DEVICE_SHIFT: u32 = 15;
const BUS_SHIFT: u32 = 20;

type ConfigurationRegisters = [ReadPureWrite<u32>];

/// The registers of all functions. Beyond them, reads return the value for a missing function, and
/// writes are ignored.
pub(super) struct Ecam<'a> {
    to_read: SharedMmioPointer<'a, ConfigurationRegisters>,
    /// `None` in the read-only copies that the driver crate makes.
    to_write: Option<UniqueMmioPointer<'a, ConfigurationRegisters>>,
}

impl Ecam<'static> {
    /// Returns the configuration space in this memory. `None` when it is not aligned.
    pub(super) fn new(memory: DeviceMemory) -> Option<Self> {
        let registers = memory.slice()?;
        Some(Self {
            to_read: *registers,
            to_write: Some(registers),
        })
    }
}

impl Ecam<'_> {
    /// Returns the number of buses that fit in the registers.
    pub(super) fn buses(&self) -> u64 {
        (size_of::<u32>() * self.to_read.len()) as u64 >> BUS_SHIFT
    }

    /// Reborrows the registers for the driver crate, which takes ownership of its value.
    pub(super) fn lend(&mut self) -> Ecam<'_> {
        Ecam {
            to_read: self.to_read,
            to_write: self.to_write.as_mut().map(UniqueMmioPointer::reborrow),
        }
    }
}

/// Returns the index of a function's register in the array.
fn index(function: PciFunction, offset: u8) -> usize {
    let bytes = usize::from(function.bus) << BUS_SHIFT
        | usize::from(function.device) << DEVICE_SHIFT
        | usize::from(function.function) << FUNCTION_SHIFT
        | usize::from(offset);
    bytes / size_of::<u32>()
}

impl ConfigurationSpace for Ecam<'_> {
    fn read(&self, function: PciFunction, offset: u8) -> u32 {
        let register = self.to_read.get(index(function, offset));
        register.map_or(NO_FUNCTION, |register| register.read())
    }

    fn write(&mut self, function: PciFunction, offset: u8, value: u32) {
        if let Some(registers) = &mut self.to_write
            && let Some(mut register) = registers.get(index(function, offset))
        {
            register.write(value);
        }
    }
}

impl ConfigurationAccess for Ecam<'_> {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        self.read(of_plan(function), offset)
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, value: u32) {
        self.write(of_plan(function), offset, value);
    }

    // Safe for any use of the copy: it cannot write.
    unsafe fn unsafe_clone(&self) -> Self {
        Self {
            to_read: self.to_read,
            to_write: None,
        }
    }
}

fn of_plan(function: DeviceFunction) -> PciFunction {
    let DeviceFunction {
        bus,
        device,
        function,
    } = function;
    PciFunction {
        bus,
        device,
        function,
    }
}

/// Converts a function to the driver crate's type.
pub(super) fn of_driver(function: PciFunction) -> DeviceFunction {
    let PciFunction {
        bus,
        device,
        function,
    } = function;
    DeviceFunction {
        bus,
        device,
        function,
    }
}
