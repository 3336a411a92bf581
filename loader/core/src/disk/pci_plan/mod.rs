// SPDX-License-Identifier: MIT OR Apache-2.0

//! The PCI set-up that a disk needs: finds buses and functions, and assigns addresses to the
//! registers of a block device. QEMU leaves all of it to firmware, and Linux repeats it.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6 (configuration space, base address
//! registers); PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3 (bus numbers, memory
//! window); PCI Express Base Specification 3.0, section 7.8.2 (port types).

pub mod buses;
pub mod configuration;
pub mod placed;
#[cfg(test)]
mod simulated;
pub mod windows;
