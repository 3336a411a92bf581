// SPDX-License-Identifier: MIT OR Apache-2.0

//! The destination of a task: an image file or a block device, with a write cache.
//!
//! Plain data goes through the cache and may reach the disk in any order. Partition tables and
//! environments decide which system boots: they are written directly to the disk, and only after
//! all previous data is there ([`Device::write_ordered`]). An interruption therefore leaves either
//! the old choice, or the new one with all the data that it needs.

pub(crate) mod aligned;
pub(crate) mod block_devices;
pub(crate) mod device;
pub(crate) mod error;
mod lock;
mod open;
pub(crate) mod options;
mod segment;
pub(crate) mod storage;
mod store;
#[cfg(test)]
mod tests;
mod trimmed;
mod unmount;
pub(crate) mod view;

pub use device::{Device, SEGMENT, WriteOptions};
pub use error::DeviceError;
pub use open::{DestinationError, is_qcow2};
pub use options::{DestinationOptions, Mounts, OpenDestinationError};
pub use storage::{DiskFile, Storage};
pub use unmount::UnmountError;
pub use view::{DeviceView, SharedDevice};
