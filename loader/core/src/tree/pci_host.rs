// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PCI host bridge in the device tree.

use crate::tree::error::DtbError;
use crate::tree::format::{number, word};
use crate::tree::reg::region;
use crate::units::Region;

/// A PCI host bridge with a flat configuration space (Linux,
/// `Documentation/devicetree/bindings/pci/host-generic-pci.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciHost {
    /// The configuration space (ECAM).
    pub configuration: Region,
    /// The window for devices' registers: 32-bit addresses that are the same on the bus and for
    /// the CPU.
    pub window: Region,
}

impl PciHost {
    /// Parses the `ranges` of the bridge's node. Returns `None` if they contain no such window.
    pub(super) fn read(configuration: Region, ranges: &[u8]) -> Result<Option<Self>, DtbError> {
        // Bits 25 and 24 of an address's first cell: 32-bit memory.
        const MEMORY_32: u32 = 0b10 << 24;
        // A PCI address of three cells, then a CPU address and a size of two cells each.
        const CELLS: u32 = 7;
        let (entries, []) = ranges.as_chunks::<{ CELLS as usize * 4 }>() else {
            return Err(DtbError::Property {
                property: "ranges",
                length: ranges.len().into(),
                cells: CELLS.into(),
            });
        };
        for entry in entries {
            let (on_bus, for_cpu) = (number(&entry[4..12]), number(&entry[12..20]));
            if word(entry, 0) & (0b11 << 24) == MEMORY_32 && on_bus == for_cpu {
                let window = region(for_cpu, number(&entry[20..]))?;
                return Ok(Some(Self {
                    configuration,
                    window,
                }));
            }
        }
        Ok(None)
    }
}
