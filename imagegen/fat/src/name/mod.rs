// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names: as they are given, and as directory entries store them.

pub(crate) mod code_page;
pub(crate) mod label;
pub(crate) mod long_entry;
pub(crate) mod path;
pub(crate) mod segment;
