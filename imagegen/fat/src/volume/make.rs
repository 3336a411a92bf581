// SPDX-License-Identifier: MIT OR Apache-2.0

//! Making a file system.

use super::window::Sectors;
use crate::disk::layout::{Layout, TABLES};
use crate::error::Error;
use crate::storage::{BLOCK, Start, Storage};
use crate::timestamp::Timestamp;

/// Makes a file system of so many blocks.
///
/// The last block is written first: it proves that the disk is large enough, and extends an image
/// file. The boot sector is written last, so that a half-made file system is not mounted.
///
/// # Errors
///
/// [`Error::Size`] before anything is written, and those of the disk.
pub(crate) fn make(
    disk: &mut dyn Storage,
    start: Start,
    blocks: u64,
    time: Timestamp,
) -> Result<(), Error> {
    let layout = u32::try_from(blocks).ok().and_then(Layout::choose);
    let layout = layout.ok_or(Error::Size { blocks })?;
    let mut sectors = Sectors { disk, start };
    let offset = start.byte_of(0);
    let discarded = sectors.disk.discard(offset, blocks * BLOCK as u64);
    discarded.map_err(|source| Error::Disk { offset, source })?;
    sectors.write(blocks - 1, &[0xff; BLOCK])?;
    // An old boot sector would mount what is now half overwritten.
    sectors.zero(0, 1)?;
    let mut at = u64::from(layout.reserved);
    for _ in 0..TABLES {
        sectors.write(at, &layout.first_table_sector())?;
        sectors.zero(at + 1, u64::from(layout.table_sectors) - 1)?;
        at += u64::from(layout.table_sectors);
    }
    sectors.zero(at, u64::from(layout.root_sectors))?;
    let boot = layout.boot_sector(time);
    if let Some(info) = layout.info_sector() {
        sectors.write(7, &info)?;
        sectors.write(6, &boot)?;
        sectors.write(1, &info)?;
    }
    sectors.write(0, &boot)
}
