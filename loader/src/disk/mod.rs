// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk, as far as the blocks on it.

pub(crate) mod block_device;
pub(crate) mod pci;
pub(crate) mod virtio_blk;
pub(crate) mod virtio_hal;
