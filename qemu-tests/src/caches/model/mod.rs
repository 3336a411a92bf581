// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the caches that QEMU does not have.

mod checker;
mod devices;
mod lines;
mod maintenance;
mod order;
mod outcome;
mod rules;
#[cfg(test)]
mod tests;
mod translation;

pub use checker::replay;
pub use lines::LINE;
pub use outcome::{Layout, Outcome};
pub use rules::{Finding, Findings, Rule};
