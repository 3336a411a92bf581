// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware files as ZIP archives. Entries are read and written strictly from front to back, so
//! that an archive can be read from a pipe and written to one.

pub mod authenticate;
pub mod contents;
pub(crate) mod date;
mod deflate;
mod deflate_end;
mod features;
pub mod firmware_archive;
mod header;
pub mod identity;
pub mod metadata;
mod name;
pub(crate) mod packed;
pub mod read;
pub mod sign;
mod variables;
pub mod verify;
pub mod write;
mod zip;

pub(crate) use name::{entry_of, resource_of};
