// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where disks are and what they are asked for: requests and their time limits, and PCI.

pub mod extent;
pub mod pci_plan;
pub mod requests;
pub mod time_limit;
