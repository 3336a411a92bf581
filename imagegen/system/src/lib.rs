// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two functions of the C library that `fwup` needs and no safe interface offers, so that it can
//! forbid `unsafe`.

mod device_numbers;
mod ubi;

pub use device_numbers::{DeviceNumbers, device_numbers};
pub use ubi::start_ubi_update;
