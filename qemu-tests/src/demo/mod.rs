// SPDX-License-Identifier: MIT OR Apache-2.0

//! The image that `cargo qemu boot` boots: Debian's kernel, an initrd that finds the disk, and busybox.

pub mod initrd;
pub mod rootfs;
