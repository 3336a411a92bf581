// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu bench`.

mod against;
mod command;
mod exits;
mod fleet;
mod growth;
mod guest_flags;
mod measure;
mod profile;
mod results;
mod size;
mod workbench;

pub(crate) use command::{Arguments, main};
