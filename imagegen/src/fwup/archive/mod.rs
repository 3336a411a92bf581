// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ZIP archive that a firmware file is: entries one behind the other, read and written strictly from front to back.

pub mod read;
pub mod write;
