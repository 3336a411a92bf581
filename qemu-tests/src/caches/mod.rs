// SPDX-License-Identifier: MIT OR Apache-2.0

//! Proves that a boot maintains the caches, although QEMU's emulation has none: the loader's
//! instructions are recorded from QEMU's log and replayed on a model of the caches.
//!
//! The model is the worst CPU on which a hypervisor runs guests: with the MMU off, accesses bypass
//! the caches (no FEAT_S2FWB); any line may be in the caches or not, and a dirty one may be written
//! back at any time; a barrier or maintenance instruction does only what the architecture
//! guarantees. It assumes that the hypervisor hands over memory clean to the point of coherency,
//! that devices see the CPU's caches, and that one CPU runs.

mod effect;
pub mod event;
mod instruction;
mod log;
pub mod model;
mod program;
mod record;

pub use log::LogError;
pub use program::{Program, ProgramError};
pub use record::{RecordError, Recording, record};
