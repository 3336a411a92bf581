// SPDX-License-Identifier: MIT OR Apache-2.0

//! The three functions of the C library that `fwup` needs and no safe interface offers, so that it
//! can forbid `unsafe`.

mod device_numbers;
mod ubi;
mod writeback;

pub use device_numbers::{DeviceNumbers, device_numbers};
pub use ubi::start_ubi_update;
pub use writeback::start_writeback;
