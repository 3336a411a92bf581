// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu setup`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use qemu_tests::paths;
use qemu_tests::setup::debian::mirrors::Mirrors;
use qemu_tests::setup::debian::private_qemu;
use qemu_tests::setup::{self, Purpose};

/// Find or install what building, booting and testing need
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only report what is there and what is missing; exit with status 1 if anything is missing
    #[arg(long)]
    check: bool,
    /// Only download the QEMU of a Debian suite, such as trixie-backports, into the cache, and the
    /// same for arm64 hosts, which `cargo qemu test kvm` uses then, too. To use the former, set the
    /// environment variable QEMU as printed
    #[arg(long, value_name = "SUITE", conflicts_with = "check")]
    qemu: Option<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(suite) = &arguments.qemu {
        setup::ensure_arm_qemu(suite)?;
        let qemu = private_qemu::install(suite, &Mirrors::of_system(), &paths::cache())?;
        eprintln!("setup: {}", qemu.version);
        let program = qemu.program.to_string_lossy();
        println!("QEMU={}", shell_words::quote(&program));
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.check {
        setup::ensure(Purpose::Everything)?;
    }
    let items = setup::check(Purpose::Everything)?;
    for item in &items {
        let state = if item.ready { "ready  " } else { "MISSING" };
        println!("{state}  {:24}{}", item.name, item.detail);
    }
    let missing = items.iter().filter(|item| !item.ready).count();
    if missing > 0 {
        bail!(
            "{missing} of {} things are missing; `cargo qemu setup` installs them",
            items.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}
