// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the blocks of an image file in the raw or the qcow2 format, or of a block device.
//!
//! An image that is open for writing is locked, so that no QEMU uses it at the same time.

mod access;
mod error;
mod qcow2;
mod raw;

pub use access::{Format, Image};
pub use error::ImageError;
