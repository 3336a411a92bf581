// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds, changes and inspects the disk images that Little Loader boots.
//!
//! The command `imagegen` is a thin layer over this library; the QEMU tests use the library
//! directly.

#![forbid(unsafe_code)]

pub mod apply;
pub mod disk;
pub mod env_file;
pub mod image;
pub mod initrd;
pub mod inspect;
pub mod install;
pub mod kernel;
pub mod layout;
pub mod loader_elf;
pub mod mbr;
pub mod modules;
pub mod overlay;
pub mod rootfs;
pub mod size;
pub mod slots;
pub mod variables;
