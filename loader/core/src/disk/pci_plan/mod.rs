// SPDX-License-Identifier: MIT OR Apache-2.0

//! PCI, as far as a disk needs it: which buses and functions there are, and where the registers of
//! a block device go. QEMU leaves all of it to firmware, and Linux does it anew.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6 (configuration space, base address
//! registers); PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3 (bus numbers, memory
//! window); PCI Express Base Specification 3.0, section 7.8.2 (port types).

pub mod buses;
pub mod configuration;
#[cfg(test)]
mod simulated;
pub mod windows;
