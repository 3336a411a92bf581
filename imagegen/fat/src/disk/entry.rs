// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fields of a short directory entry.

use super::fields::{put_u16, put_u32, u16_at, u32_at};
use crate::name::segment::ShortName;
use crate::timestamp::Timestamp;

/// One entry of a directory.
pub(crate) type Entry = [u8; 32];

/// The first byte of a deleted entry.
pub(crate) const DELETED: u8 = 0xe5;

/// The attributes R, H and S, which [`Entry`] stores in byte 11.
pub(crate) const READ_ONLY: u8 = 0x01;
pub(crate) const HIDDEN: u8 = 0x02;
pub(crate) const SYSTEM: u8 = 0x04;
/// The volume label.
pub(crate) const LABEL: u8 = 0x08;
pub(crate) const DIRECTORY: u8 = 0x10;
pub(crate) const ARCHIVE: u8 = 0x20;
/// All of the above except the last two: part of a long name.
pub(crate) const LONG: u8 = 0x0f;
/// The bits with a meaning.
const DEFINED: u8 = 0x3f;

pub(crate) fn attributes(entry: &Entry) -> u8 {
    entry[11] & DEFINED
}

pub(crate) fn is_directory(entry: &Entry) -> bool {
    entry[11] & DIRECTORY != 0
}

pub(crate) fn is_read_only(entry: &Entry) -> bool {
    entry[11] & READ_ONLY != 0
}

/// Whether it is free, deleted or not yet used.
pub(crate) fn is_free(entry: &Entry) -> bool {
    matches!(entry[0], 0 | DELETED)
}

pub(crate) fn short_name(entry: &Entry) -> ShortName {
    let mut name = [0; 11];
    name.copy_from_slice(&entry[..11]);
    name
}

/// The size of a file in bytes.
pub(crate) fn size(entry: &Entry) -> u32 {
    u32_at(entry, 28)
}

pub(crate) fn set_size(entry: &mut Entry, size: u32) {
    put_u32(entry, 28, size);
}

/// The first cluster, 0 for none. Only FAT32 has the high half.
pub(crate) fn first_cluster(entry: &Entry, is_fat32: bool) -> u32 {
    let high = if is_fat32 { u16_at(entry, 20) } else { 0 };
    u32::from(high) << 16 | u32::from(u16_at(entry, 26))
}

pub(crate) fn set_first_cluster(entry: &mut Entry, cluster: u32, is_fat32: bool) {
    put_u16(entry, 26, (cluster & 0xffff) as u16);
    if is_fat32 {
        put_u16(entry, 20, (cluster >> 16) as u16);
    }
}

pub(crate) fn set_created(entry: &mut Entry, time: Timestamp) {
    put_u32(entry, 14, time.bits());
}

/// Sets the time of the last change, and forgets the date of the last access.
pub(crate) fn set_changed(entry: &mut Entry, time: Timestamp) {
    put_u32(entry, 22, time.bits());
    put_u16(entry, 18, 0);
}
