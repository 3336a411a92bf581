// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program `fwup`: makes and applies firmware archives.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    fwup::command::run(env::args_os().skip(1))
}
