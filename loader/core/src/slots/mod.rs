// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which slot is booted, and what is known of it.

pub mod check;
pub mod policy;
pub mod run_plan;
pub mod slot;
pub mod variables;
