// SPDX-License-Identifier: MIT OR Apache-2.0

//! The functions of PCI devices and their configuration space.

use core::fmt;

use crate::display::{Decimal, bare_hex};

/// The value read if there is no function.
pub const NO_FUNCTION: u32 = 0xffff_ffff;

/// Command (bits 15 to 0) and status (bits 31 to 16).
pub(crate) const COMMAND: u8 = 0x04;
/// Status: the function has a list of capabilities.
const CAPABILITY_LIST: u32 = 1 << 20;
/// Bits 7 to 0: the offset of the first capability.
const CAPABILITY_POINTER: u8 = 0x34;
/// The maximum number of capabilities: each has at least 4 of the bytes from 0x40 to 0xff.
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
    /// Reads a register. Returns [`NO_FUNCTION`] if there is no such function.
    fn read(&self, function: PciFunction, offset: u8) -> u32;

    /// Writes a register. Has no effect if there is no such function.
    fn write(&mut self, function: PciFunction, offset: u8, value: u32);
}

/// A circular list of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndlessList;

/// Whether the first register of any of the function's capabilities meets a condition. Gives up
/// after the longest possible list.
pub(crate) fn any_capability(
    space: &impl ConfigurationSpace,
    function: PciFunction,
    condition: impl Fn(u32) -> bool,
) -> Result<bool, EndlessList> {
    let status = space.read(function, COMMAND);
    any_capability_after(status, space, function, condition)
}

/// Like [`any_capability`], after a read of the status.
pub(crate) fn any_capability_after(
    status: u32,
    space: &impl ConfigurationSpace,
    function: PciFunction,
    condition: impl Fn(u32) -> bool,
) -> Result<bool, EndlessList> {
    if status & CAPABILITY_LIST == 0 {
        return Ok(false);
    }
    let mut next = space.read(function, CAPABILITY_POINTER);
    for _ in 0..MAX_CAPABILITIES {
        // The lowest two bits are reserved; the header occupies the first 64 bytes.
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
