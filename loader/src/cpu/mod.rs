// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPU: from reset to the first line of Rust, and from the last one to the kernel.

pub(crate) mod deadline;
pub(crate) mod el2;
pub(crate) mod el3;
pub(crate) mod exceptions;
pub(crate) mod handoff;
pub(crate) mod mmu;
pub(crate) mod reset;
mod system_registers;
pub(crate) mod vectors;
