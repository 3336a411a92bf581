// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clones: guests that continue from the state of one that has booted, the template.
//!
//! The template's RAM is a file that each clone maps privately, so that all clones share the pages
//! that they have not written. The state of the CPU and of the devices is saved by QEMU's migration
//! with its capability `x-ignore-shared`, which leaves out RAM that is shared with a file.
//!
//! A clone has a disk, a serial number, a host name and a seed of its own; it takes on its identity
//! when its agent is told to `identify`. When it reboots, it boots like any other guest.

mod error;
mod memory;
mod state;
mod steps;

use std::path::PathBuf;

use imagegen::overlay::OverlayBuilder;
use serde::{Deserialize, Serialize};

pub use error::CloneError;
pub use memory::{Memory, remove as remove_memory, usual_folder as usual_memory_folder};
pub use state::{Stripped, strip};
pub use steps::{Way, identify, load, save, warm};

/// The number of the template, which guests do not have.
pub const TEMPLATE: u32 = 0;

/// How a fleet makes its clones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clones {
    /// The folder for the template's RAM, on a file system in memory.
    pub memory_folder: PathBuf,
    /// The size of a clone's buffer for translated code under emulation, in MiB.
    pub tb_size_mib: u32,
    /// How long the template rests before it is saved, in seconds.
    pub settle_seconds: u32,
}

/// A template that clones can be started from.
#[derive(Debug)]
pub struct Template {
    /// Makes the disks of clones, overlays of the template's disk.
    pub overlays: OverlayBuilder,
    /// The template's RAM.
    pub memory: Memory,
    /// The state of its CPU and devices.
    pub state: PathBuf,
    /// How QEMU reads the state.
    pub way: Way,
}
