// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ZIP archive that a firmware file is: entries one behind the other, read and written strictly from front to back.

mod name;
pub mod read;
pub mod write;

pub use name::{entry_of, resource_of};

/// What an entry starts with.
const LOCAL_HEADER: u32 = 0x0403_4b50;
/// What a data descriptor starts with, where it has a signature; ours have one.
const DESCRIPTOR: u32 = 0x0807_4b50;

/// The general purpose flag of entries whose checksum and sizes follow the data.
const SIZES_FOLLOW: u16 = 1 << 3;
/// In place of a 32-bit number that stands in the extra field with 64 bits.
const IS_64: u32 = u32::MAX;
/// The extra field with those numbers.
const ZIP64: u16 = 1;
/// The extra field with the time.
const TIME: u16 = 0x5455;
