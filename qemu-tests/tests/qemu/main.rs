// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tests that boot machines.
fn main() {}
