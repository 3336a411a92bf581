// SPDX-License-Identifier: MIT OR Apache-2.0

//! FAT12, FAT16 and FAT32 volumes on a disk or in an image, changed with the bytes that fwup 1.16
//! would write.
//!
//! A [`Session`] has one function per fwup action; each takes the disk and the [`Start`] of the
//! volume on it. Paths have 252 bytes at most, start at the root, and are read in code page 850,
//! as fwup does. Everything on a volume is checked before use: a damaged or malicious one
//! leads to an error, in time and memory that its size bounds.
//!
//! A file's last sector is padded with zeroes, however the data was cut into chunks; fwup may pad
//! it with earlier data of the file if its own chunks did not end at sectors.
//!
//! Images are compared with fwup's byte for byte, so the writer is our own: the crate `fatfs` 0.3
//! cannot set attributes or labels, and `fat32` 0.2 has only one of the three widths. `hadris-fat`
//! has both, but fills boot sectors and chooses clusters and short names in its own way instead of
//! that of FatFs, which is in fwup.

#![forbid(unsafe_code)]

mod disk;
mod error;
mod name;
mod session;
mod storage;
mod timestamp;
mod volume;

pub use error::Error;
pub use session::map::FileMap;
pub use session::mounts::Session;
pub use session::writer::FileWriter;
pub use storage::{BLOCK, Start, Storage};
pub use timestamp::Timestamp;
