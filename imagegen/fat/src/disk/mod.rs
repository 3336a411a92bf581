// SPDX-License-Identifier: MIT OR Apache-2.0

//! The structures on the disk, without I/O.

pub(crate) mod entry;
pub(crate) mod fields;
pub(crate) mod geometry;
pub(crate) mod info;
pub(crate) mod layout;
