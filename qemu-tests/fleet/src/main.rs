// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command `fleet`: runs fleets of virtual devices from an image and a loader of the user's.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

use fleet::cli::{self, NoImages};

/// Run, watch and update fleets of virtual devices that boot from one disk image
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Line {
    #[command(flatten)]
    arguments: cli::Arguments,
}

fn main() -> ExitCode {
    match cli::main(&Line::parse().arguments, &NoImages) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
