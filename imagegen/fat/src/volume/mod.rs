// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mounted volume: clusters, directories, and the order in which changes reach the disk.

pub(crate) mod clusters;
pub(crate) mod directory;
pub(crate) mod find;
pub(crate) mod make;
pub(crate) mod mounted;
pub(crate) mod register;
pub(crate) mod resolve;
pub(crate) mod table;
pub(crate) mod window;
