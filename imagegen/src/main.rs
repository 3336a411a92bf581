// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `imagegen`: builds, changes and inspects the disk images that Little Loader boots.

#![forbid(unsafe_code)]

mod cli;

use std::env;
use std::process::ExitCode;

use clap::Parser;

/// Builds, changes and inspects the disk images that Little Loader boots.
#[derive(Debug, Parser)]
#[command(
    name = "imagegen",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: cli::Command,
}

fn main() -> ExitCode {
    // fwup's options are passed on unparsed: clap would interpret some of them itself.
    let mut words = env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "fwup") {
        return fwup::command::run(words);
    }
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("imagegen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
