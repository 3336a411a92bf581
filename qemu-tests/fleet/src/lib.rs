// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets of virtual devices: many QEMU machines that boot from one read-only disk image, each with
//! an overlay, an identity and a console of its own.
//!
//! [`model`] is what is known about a fleet, which all commands show.

#![forbid(unsafe_code)]

pub mod engines;
pub mod identity;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod report;
pub mod screen;
pub mod totals;
mod whole_file;

use whole_file::write_whole;
