// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel: its Image, its place in memory, its command line, and the exception level of its
//! entry.

pub mod command_line;
pub mod entry_level;
pub mod image;
pub mod placement;
