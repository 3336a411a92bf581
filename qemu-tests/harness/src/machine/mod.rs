// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU's command line for one `virt` machine, as a typed builder.

mod accelerator;
mod builder;
mod command_line;
mod disk;

pub use accelerator::{Accelerator, UnknownAccelerator};
pub use builder::{Console, Machine};
pub use disk::{Bus, Disk};
