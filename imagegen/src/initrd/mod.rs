// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes an initrd that loads kernel modules, waits for the root file system that `root=` names,
//! and starts its init. It consists of busybox, the modules and a script.

mod archive;
mod busybox;
#[cfg(test)]
mod tests;

pub use archive::Initrd;
pub use busybox::{Busybox, BusyboxError};
