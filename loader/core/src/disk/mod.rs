// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is asked of a disk.

pub mod extent;
pub mod requests;
