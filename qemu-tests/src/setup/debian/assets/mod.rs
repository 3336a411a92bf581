// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files from Debian's packages for arm64: the guest's kernels and busybox, other firmware, and the
//! installer. The cache has a folder for each asset, with only the files that are used.

pub mod arm_qemu;
mod asset;
mod contents;
pub mod erlang;
mod error;
mod extract;
mod files;
mod install;
mod kernel;
pub mod kit;
mod libraries;
mod package_lists;

pub use asset::Asset;
pub use error::AssetError;
pub(in crate::setup) use install::install;
