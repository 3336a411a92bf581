// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu lint`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use qemu_tests::build::bare_metal;
use qemu_tests::harness::process::shell_line;
use qemu_tests::setup::{self, Purpose};
use qemu_tests::toolchain;

pub(crate) fn main() -> Result<ExitCode> {
    setup::ensure(Purpose::Build)?;
    let mut host = toolchain::cargo();
    host.args(["clippy", "--locked", "--all-targets"]);
    check(host.args(["--", "-D", "warnings"]))?;

    // `--all-targets` omits a target with `test = false`, and overrides any other selection.
    let mut tests = toolchain::cargo();
    tests.args(["clippy", "--locked", "--package", "qemu-tests"]);
    check(tests.args(["--test", "qemu", "--", "-D", "warnings"]))?;

    check(&mut on_bare_metal()?)?;

    let mut docs = toolchain::cargo();
    docs.args(["doc", "--locked", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    check(&mut docs)?;

    let mut metal_docs = bare_metal("doc")?;
    metal_docs.args(["--package", "little-loader", "--package", "payload"]);
    metal_docs.args(["--bins", "--release", "--no-deps"]);
    check(metal_docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a clippy command for the guest's packages, with the flags of the shipped loader, from
/// .cargo/config.toml and the profile.
pub(crate) fn on_bare_metal() -> Result<Command> {
    let mut metal = bare_metal("clippy")?;
    metal.args([
        "--package",
        "little-loader",
        "--package",
        "payload",
        "--package",
        "guest-helper",
        "--bins",
        "--release",
    ]);
    metal.args(["--", "-D", "warnings"]);
    Ok(metal)
}

fn check(command: &mut Command) -> Result<()> {
    eprintln!("lint: {}", shell_line(command));
    if !command.status().context("cannot start cargo")?.success() {
        bail!("this check failed: {}", shell_line(command));
    }
    Ok(())
}
