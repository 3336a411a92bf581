// SPDX-License-Identifier: MIT OR Apache-2.0

//! Disks: extents, requests and their time limits, and the set-up of PCI.

pub mod extent;
pub mod pci_plan;
pub mod requests;
pub mod time_limit;
