// SPDX-License-Identifier: MIT OR Apache-2.0

#![no_main]

#[path = "../gpt.rs"]
mod gpt;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gpt::gpt(bytes));
