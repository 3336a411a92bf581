// SPDX-License-Identifier: MIT OR Apache-2.0

//! The functions of PCI devices and their configuration space.

use core::fmt;

use crate::display::{Decimal, bare_hex};

/// A read where there is no function.
pub const NO_FUNCTION: u32 = 0xffff_ffff;

/// Command (bits 15 to 0) and status (bits 31 to 16).
pub(crate) const COMMAND: u8 = 0x04;
/// Status: there is a list of capabilities.
const CAPABILITY_LIST: u32 = 1 << 20;
/// Bits 7 to 0: where the list of capabilities starts.
const CAPABILITY_POINTER: u8 = 0x34;
/// The most capabilities of a function: each has at least 4 bytes of those from 0x40 to 0xff.
const MAX_CAPABILITIES: usize = 48;

/// A function of a PCI device, displayed as `bus:device.function`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciFunction {
    /// The bus number.
    pub bus: u8,
    /// The device on the bus, 0 to 31.
    pub device: u8,
    /// The function of the device, 0 to 7.
    pub function: u8,
}

impl fmt::Display for PciFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bare_hex(f, self.bus.into(), 2)?;
        f.write_str(":")?;
        bare_hex(f, self.device.into(), 2)?;
        write!(f, ".{}", Decimal(self.function.into()))
    }
}

/// The configuration space of a host bridge: 256 bytes for each function, in registers of 4 bytes
/// at offsets that are multiples of 4.
pub trait ConfigurationSpace {
    /// Reads a register; [`NO_FUNCTION`] where nothing answers.
    fn read(&self, function: PciFunction, offset: u8) -> u32;

    /// Writes a register; nothing happens where nothing answers.
    fn write(&mut self, function: PciFunction, offset: u8, value: u32);
}

/// A list of capabilities that leads back to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndlessList;

/// Whether the first register of one of the function's capabilities meets a condition. The list is
/// followed as far as one can be long.
pub(crate) fn any_capability(
    space: &impl ConfigurationSpace,
    function: PciFunction,
    condition: impl Fn(u32) -> bool,
) -> Result<bool, EndlessList> {
    if space.read(function, COMMAND) & CAPABILITY_LIST == 0 {
        return Ok(false);
    }
    let mut next = space.read(function, CAPABILITY_POINTER);
    for _ in 0..MAX_CAPABILITIES {
        // The lowest two bits are reserved; the header has the first 64 bytes.
        let offset = (next & 0xfc) as u8;
        if offset < 0x40 {
            return Ok(false);
        }
        let capability = space.read(function, offset);
        if condition(capability) {
            return Ok(true);
        }
        next = capability >> 8;
    }
    Err(EndlessList)
}
