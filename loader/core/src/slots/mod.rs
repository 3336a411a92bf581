// SPDX-License-Identifier: MIT OR Apache-2.0

//! Chooses the slot to boot, and checks and loads it.

pub mod check;
pub mod policy;
pub mod run_plan;
pub mod slot;
pub mod variables;
