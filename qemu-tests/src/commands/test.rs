// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu test`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use qemu_tests::artifacts::{self, Artifacts};
use qemu_tests::setup::{self, Purpose};
use qemu_tests::toolchain;

/// Run the host tests, then the QEMU tests
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// The tests that take long as well
    #[arg(long)]
    all: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Purpose::Test)?;
    let mut host = toolchain::cargo();
    host.args(["test", "--locked"]).args(&arguments.filter);
    let host_passed = passes(&mut host)?;

    let artifacts = Artifacts::build()?;
    let mut qemu = toolchain::cargo();
    qemu.args([
        "test",
        "--locked",
        "--package",
        "qemu-tests",
        "--test",
        "qemu",
    ]);
    if let Some(filter) = &arguments.filter {
        qemu.args(["--", filter]);
    }
    qemu.env(artifacts::VARIABLE, artifacts.folder());
    if arguments.all {
        qemu.env(artifacts::ALL, "1");
    }
    // Both are run even if the first fails: who changes something wants to see all that it breaks.
    let qemu_passed = passes(&mut qemu)?;
    for (what, passed) in [("host", host_passed), ("QEMU", qemu_passed)] {
        if !passed {
            eprintln!("error: the {what} tests failed");
        }
    }
    Ok(if host_passed && qemu_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn passes(command: &mut Command) -> Result<bool> {
    Ok(command.status().context("cannot start cargo")?.success())
}
