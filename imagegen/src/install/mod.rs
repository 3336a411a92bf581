// SPDX-License-Identifier: MIT OR Apache-2.0

//! Installs an update from outside: copies a slot of a new image into the inactive slot of an
//! image, and puts that slot on trial.
//!
//! An interruption leaves the image bootable, in its old slot until the last write:
//!
//! 1. The slot's `nerves_fw_platform` is removed, which bars the slot, and synced.
//! 2. The kernel, the initrd and the root file system are copied where they differ, and synced.
//! 3. The slot's variables are set and the slot is put on trial, in one write.

mod copy;
mod error;
mod places;
mod root;
mod source;
#[cfg(test)]
mod tests;
mod update;

pub use error::InstallError;
pub use update::{Installed, Update};
