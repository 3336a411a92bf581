// SPDX-License-Identifier: MIT OR Apache-2.0

//! The FSINFO sector of FAT32: hints about free clusters.

use super::fields::{put_u16, put_u32, u16_at, u32_at};
use crate::storage::{BLOCK, Block};

const LEAD: u32 = 0x4161_5252;
const STRUCTURE: u32 = 0x6141_7272;
const SIGNATURE: u16 = 0xaa55;

/// A count or a cluster that is not known.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The hints. Values outside of the volume count as unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hints {
    /// The number of free clusters.
    pub(crate) free: u32,
    /// The cluster that was allocated last.
    pub(crate) last: u32,
}

pub(crate) fn decode(block: &Block) -> Option<Hints> {
    let is_valid = u16_at(block, 510) == SIGNATURE
        && u32_at(block, 0) == LEAD
        && u32_at(block, 484) == STRUCTURE;
    is_valid.then(|| Hints {
        free: u32_at(block, 488),
        last: u32_at(block, 492),
    })
}

pub(crate) fn encode(hints: Hints) -> Block {
    let mut block = [0; BLOCK];
    put_u32(&mut block, 0, LEAD);
    put_u32(&mut block, 484, STRUCTURE);
    put_u32(&mut block, 488, hints.free);
    put_u32(&mut block, 492, hints.last);
    put_u16(&mut block, 510, SIGNATURE);
    block
}
