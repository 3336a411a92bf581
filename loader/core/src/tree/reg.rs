// SPDX-License-Identifier: MIT OR Apache-2.0

//! Addresses in properties: the regions of a `reg`.
//!
//! Source: Devicetree Specification 0.4, 2.3.6 (`reg`).

use crate::tree::error::DtbError;
use crate::tree::format::number;
use crate::tree::node::{Cells, Node};
use crate::units::{Addr, Bytes, Region};

/// Reads the regions of a `reg` one by one.
pub(super) struct RegEntries<'a> {
    rest: &'a [u8],
    cells: Cells,
}

impl<'a> RegEntries<'a> {
    /// Reads this value of `reg`; without a value, there are no entries.
    pub(super) fn new(reg: Option<&'a [u8]>, cells: Cells) -> Self {
        let rest = reg.unwrap_or_default();
        Self { rest, cells }
    }

    /// Reads the `reg` of a node.
    pub(super) fn of(node: Node<'a>) -> Self {
        Self::new(node.property(b"reg"), node.cells)
    }

    /// Returns the next region, or `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Region>, DtbError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Cells { address, size } = self.cells;
        if !(1..=2).contains(&address) || !(1..=2).contains(&size) {
            return Err(DtbError::Cells {
                address: address.into(),
                size: size.into(),
            });
        }
        let cells = address + size;
        let Some((entry, rest)) = self.rest.split_at_checked(cells as usize * 4) else {
            return Err(DtbError::Property {
                property: "reg",
                length: self.rest.len().into(),
                cells: cells.into(),
            });
        };
        self.rest = rest;
        let (address, size) = entry.split_at(address as usize * 4);
        region(number(address), number(size)).map(Some)
    }
}

/// Checks that a region fits the address space.
pub(super) fn region(start: u64, length: u64) -> Result<Region, DtbError> {
    let (start, length) = (Addr(start), Bytes(length));
    Region::new(start, length).ok_or(DtbError::BadRegion { start, length })
}
