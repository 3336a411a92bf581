// SPDX-License-Identifier: MIT OR Apache-2.0

//! Guests of a real KVM on any machine: QEMU emulates an arm64 host with EL2, Linux on it offers
//! KVM, and QEMU for arm64 runs guests there.
//!
//! KVM sees the accesses of its guests as on hardware: it decodes their syndromes, and cannot
//! emulate an access without one. Caches and timing are those of the emulation.
//!
//! One start of such a host takes seconds, so it runs several guests, one after another or
//! together. Their disks are disks of the host, so what a guest writes is in the image afterwards.

mod error;
mod guest;
mod host;
mod results;
mod script;
mod userland;

pub use error::HostError;
pub use guest::Guest;
pub use host::KvmHost;
pub use results::{Ended, Status};
pub use userland::Userland;
