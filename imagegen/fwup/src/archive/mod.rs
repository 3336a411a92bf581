// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ZIP archive that a firmware file is. Its entries are read and written strictly from front to
//! back, so that it can come from a pipe and go into one.

mod date;
pub mod firmware_archive;
mod header;
pub mod identity;
pub mod metadata;
mod name;
pub mod read;
pub mod verify;
pub mod write;
mod zip;

pub(crate) use name::{entry_of, resource_of};
