// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `cargo qemu`: everything one does with Little Loader on a development machine.

#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{build, setup, test};

/// Set up, build, boot, test and measure Little Loader
#[derive(Parser)]
#[command(bin_name = "cargo qemu", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Test(test::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Build(arguments) => build::main(&arguments),
        Command::Test(arguments) => test::main(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
