// SPDX-License-Identifier: MIT OR Apache-2.0

//! The functions of the C library that `fwup`, `imagegen` and `fleet` need and no safe interface
//! offers, so that they can forbid `unsafe`.

mod device_numbers;
#[cfg(target_os = "linux")]
mod image_lock;
#[cfg(target_os = "linux")]
mod merging;
mod ubi;
mod writeback;

pub use device_numbers::{DeviceNumbers, device_numbers};
#[cfg(target_os = "linux")]
pub use image_lock::{is_image_written, lock_image};
#[cfg(target_os = "linux")]
pub use merging::{keep_addresses, merge_equal_pages};
pub use ubi::start_ubi_update;
pub use writeback::start_writeback;
