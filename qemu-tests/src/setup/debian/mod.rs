// SPDX-License-Identifier: MIT OR Apache-2.0

//! Packages from Debian's archives. The cache keeps only the files that are used.

pub mod archive;
pub mod assets;
pub mod kernels;
pub mod mirrors;
pub mod private_qemu;
pub mod sources;
pub mod unpack;
