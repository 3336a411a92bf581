// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `cargo qemu`: sets up, builds, boots, tests and measures Little Loader.

#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{bench, binutils, boot, build, fleet, fwup_suite, guest, lint, setup, test};

/// Set up, build, boot, test and measure Little Loader
#[derive(Parser)]
#[command(bin_name = "cargo qemu", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Boot(boot::Arguments),
    Setup(setup::Arguments),
    Build(build::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Fleet(::fleet::cli::Arguments),
    Guest(guest::Arguments),
    FwupSuite(fwup_suite::Arguments),
    /// Run the checks of .ci/run except the tests: clippy for host and bare metal, and rustdoc,
    /// without warnings
    Lint,
    /// Show the sections of the loader with llvm-size
    Size(binutils::Arguments),
    /// Show the symbols of the loader with llvm-nm, the largest last
    Nm(binutils::Arguments),
    /// Disassemble the loader with llvm-objdump
    Objdump(binutils::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Boot(arguments) => boot::main(&arguments),
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Build(arguments) => build::main(&arguments),
        Command::Test(arguments) => test::main(&arguments),
        Command::Bench(arguments) => bench::main(&arguments),
        Command::Fleet(arguments) => fleet::main(&arguments),
        Command::Guest(arguments) => guest::main(&arguments),
        Command::FwupSuite(arguments) => fwup_suite::main(&arguments),
        Command::Lint => lint::main(),
        Command::Size(arguments) => binutils::main("size", &["-A", "-x"], &arguments),
        Command::Nm(arguments) => binutils::main(
            "nm",
            &["--demangle", "--size-sort", "--print-size"],
            &arguments,
        ),
        Command::Objdump(arguments) => {
            binutils::main("objdump", &["--demangle", "--disassemble"], &arguments)
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
