// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu size`, `nm` and `objdump`: LLVM's tools on the built loader.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;

use qemu_tests::setup::programs::llvm;
use qemu_tests::setup::{self, Purpose};
use qemu_tests::toolchain::Toolchain;
use qemu_tests::{build, paths};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Arguments for the tool, instead of the default ones
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the loader as shipped and runs `tool` on it, with the arguments `default` if the user
/// gives none.
pub(crate) fn main(tool: &str, default: &[&str], arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Purpose::Inspect)?;
    let loader = build::loader(
        &build::LoaderBuild::default(),
        &paths::target().join("little-loader"),
    )?;
    let name = format!("llvm-{tool}");
    let program =
        llvm(&name, &Toolchain::query()?).with_context(|| format!("cannot find {name}"))?;
    let mut command = Command::new(program);
    if arguments.arguments.is_empty() {
        command.args(default);
    } else {
        command.args(&arguments.arguments);
    }
    let status = command
        .arg(&loader.elf)
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
