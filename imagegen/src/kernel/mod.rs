// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernels as they are shipped: a raw arm64 `Image`, the same packed by gzip, or an EFI zboot
//! `vmlinuz`, which contains the packed Image in a small EFI program. The loader reads raw Images
//! only, so they are unpacked here.

mod banner;
mod decode;
mod error;
#[cfg(test)]
mod fixtures;
mod unpack;
mod zboot;

pub use banner::banner;
pub use error::KernelError;
pub use unpack::Kernel;
