// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PCI configuration space: an array of memory-mapped registers (ECAM), of the length in the
//! device tree. Each access is one plain load or store.
//!
//! Source: PCI Express Base Specification 3.0, section 7.2.2 (ECAM).

use little_loader_core::disk::pci_plan::configuration::{
    ConfigurationSpace, NO_FUNCTION, PciFunction,
};
use little_loader_core::disk::pci_plan::placed::Placed;
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
pub(super) struct Ecam<'a>(UniqueMmioPointer<'a, ConfigurationRegisters>);

/// The registers as the driver crate sees them: it takes ownership of its value, and writes only
/// registers that are not passed on to the device.
pub(super) struct DriverEcam<'a> {
    all: SharedMmioPointer<'a, ConfigurationRegisters>,
    placed: Placed,
}

impl Ecam<'static> {
    /// Returns the configuration space in this memory. `None` when it is not aligned.
    pub(super) fn new(memory: DeviceMemory) -> Option<Self> {
        memory.slice().map(Self)
    }
}

impl Ecam<'_> {
    /// Returns the number of buses that fit in the registers.
    pub(super) fn buses(&self) -> u64 {
        (size_of::<u32>() * self.0.len()) as u64 >> BUS_SHIFT
    }

    /// Returns the configuration space for the driver crate, with the registers of the device that
    /// it drives.
    pub(super) fn for_driver(&self, placed: Placed) -> DriverEcam<'_> {
        let all = *self.0;
        DriverEcam { all, placed }
    }
}

fn read(
    registers: &SharedMmioPointer<'_, ConfigurationRegisters>,
    function: PciFunction,
    offset: u8,
) -> u32 {
    let register = registers.get(index(function, offset));
    register.map_or(NO_FUNCTION, |register| register.read())
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
        read(&self.0, function, offset)
    }

    fn write(&mut self, function: PciFunction, offset: u8, value: u32) {
        if let Some(mut register) = self.0.get(index(function, offset)) {
            register.write(value);
        }
    }
}

impl ConfigurationAccess for DriverEcam<'_> {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        let known = self.placed.read(offset);
        known.unwrap_or_else(|| read(&self.all, of_plan(function), offset))
    }

    fn write_word(&mut self, _function: DeviceFunction, offset: u8, value: u32) {
        self.placed.write(offset, value);
    }

    // Safe for any use of the copy: it writes to no device.
    unsafe fn unsafe_clone(&self) -> Self {
        Self {
            all: self.all,
            placed: self.placed.clone(),
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
