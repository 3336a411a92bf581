// SPDX-License-Identifier: MIT OR Apache-2.0

//! Unpacks kernels as distributions ship them: a raw arm64 `Image`, one packed by gzip, or an EFI
//! zboot `vmlinuz`, a small EFI program that contains the packed Image. The loader reads only raw
//! Images.

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
