// SPDX-License-Identifier: MIT OR Apache-2.0

//! Packages out of Debian's archives. The cache keeps the files of them that are used.

pub mod archive;
pub mod assets;
pub mod kernels;
pub mod mirrors;
pub mod private_qemu;
pub mod sources;
pub mod unpack;
