// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a replay is given besides the events, and what it results in.

use std::ops::Range;

use super::lines::Lines;
use super::rules::Findings;
use crate::caches::event::DeviceAccess;

/// What the model has to know of a machine and a loader.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The machine's RAM.
    pub ram: Range<u64>,
    /// Memory that the kernel does not read before it turns on the caches: the loader's own.
    pub unread: Vec<Range<u64>>,
    /// The start of the virtqueue's rings.
    pub rings: u64,
}

/// The result of a replay.
#[derive(Debug)]
pub struct Outcome {
    /// The broken rules.
    pub findings: Findings,
    /// The kernel's first instruction and the DTB, if the kernel was entered.
    pub entered: Option<(u64, u64)>,
    /// The loads and stores that went to devices.
    pub device_accesses: Vec<DeviceAccess>,
    /// The memory that the disk has written, one range for each of the loader's buffers.
    pub disk_reads: Vec<Range<u64>>,
    pub(super) lines: Lines,
}

impl Outcome {
    /// Returns whether every line of these bytes was maintained.
    #[must_use]
    pub fn is_maintained(&self, address: u64, length: u64) -> bool {
        self.lines.is_maintained(address, length)
    }

    /// Returns a big-endian word that the loader wrote to memory.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u32> {
        let value = self.lines.value(address, 4)?;
        u32::try_from(value).ok().map(u32::swap_bytes)
    }
}
