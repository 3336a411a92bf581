// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks, and reading, writing and flushing their blocks.

#[expect(
    clippy::module_inception,
    reason = "the file of the type that the others are for"
)]
mod disk;
mod ecam;
pub(crate) mod pci;
mod virtio_blk;
mod virtio_hal;

pub(crate) use disk::{Disk, DiskError, DiskName};
