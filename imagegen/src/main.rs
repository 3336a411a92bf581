// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `imagegen`: builds, changes and inspects the disk images that Little Loader boots.

#![forbid(unsafe_code)]

mod cli;

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
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("imagegen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
