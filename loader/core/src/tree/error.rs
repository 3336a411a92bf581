// SPDX-License-Identifier: MIT OR Apache-2.0

//! The reasons why a device tree cannot be used.

use thiserror::Error;

use crate::display::{Hex, Word};
use crate::tree::fdt::FdtError;
use crate::tree::memory_map::TooManyRegions;
use crate::units::{Addr, Bytes, Count};

/// A reason why the DTB cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DtbError {
    /// There is no DTB at its address.
    #[error("no device tree at {at}: found {}, expected 0xd00dfeed", Hex(u64::from(*found), 8))]
    Missing {
        /// The address where a DTB was expected.
        at: Addr,
        /// The first four bytes, read as a big-endian number.
        found: u32,
    },
    /// The address is not in RAM, or is in the loader's memory.
    #[error("no device tree: the address for it is not in RAM, or is the loader's own")]
    NotRam,
    /// The size in the header is out of range.
    #[error("the device tree at {at} says it has {size} bytes; between 40 and 2 MiB are possible")]
    Size {
        /// The DTB's address.
        at: Addr,
        /// The size in its header, in bytes.
        size: Count,
    },
    /// The DTB violates the format.
    #[error("corrupt device tree: {0}")]
    Corrupt(#[from] FdtError),
    /// The length of a property is not a multiple of the size of its entries.
    #[error(
        "device tree: {} of {length} bytes is not a list of whole entries of {cells} cells each",
        Word(property)
    )]
    Property {
        /// The property's name.
        property: &'static str,
        /// The length of its value in bytes.
        length: Count,
        /// The number of 4-byte cells in an entry.
        cells: Count,
    },
    /// The addresses or sizes of a `reg` have a length that the loader does not support.
    #[error("device tree: addresses of {address} and sizes of {size} cells; 1 and 2 are possible")]
    Cells {
        /// The number of cells of an address.
        address: Count,
        /// The number of cells of a size.
        size: Count,
    },
    /// The DTB describes no RAM.
    #[error("the device tree has no memory node with device_type \"memory\"")]
    NoMemory,
    /// A region reaches past the end of the address space.
    #[error("device tree: {} bytes at {start} do not fit the address space", Hex(length.0, 1))]
    BadRegion {
        /// The region's start.
        start: Addr,
        /// The region's length.
        length: Bytes,
    },
    /// The memory has more pieces than a list holds.
    #[error(transparent)]
    Regions(#[from] TooManyRegions),
    /// There is no `/chosen`.
    #[error("the device tree has no /chosen node to put the command line into")]
    NoChosen,
}
