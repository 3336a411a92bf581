// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets of virtual devices: many QEMU machines that boot from one read-only disk image, each with
//! an overlay, an identity and a console of its own.
//!
//! [`model`] is what is known about a fleet, which all commands show.

#![forbid(unsafe_code)]

pub mod model;
