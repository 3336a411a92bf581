// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest's console: its lines, and what they say about the guest.

pub mod limit;
pub mod lines;
pub mod sign;
pub mod tail;
