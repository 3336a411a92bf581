// SPDX-License-Identifier: MIT OR Apache-2.0

//! The encoding of a delta: RFC 3284, and xdelta3's extensions to it.

pub(crate) mod address;
pub(crate) mod bytes;
pub(crate) mod code_table;
pub(crate) mod file_header;
pub(crate) mod window_header;
