// SPDX-License-Identifier: MIT OR Apache-2.0

//! Firmware archives: a second, independent implementation of fwup's format (version 1.16): its configuration language, its
//! archives, and what its tasks do to a disk.

mod action;
pub mod apply;
pub mod archive;
pub mod device;
pub mod environment;
pub mod model;
pub mod number;
pub mod partitions;
pub mod requirement;
