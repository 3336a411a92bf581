// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu build`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use qemu_tests::build::{self, Loader, LoaderBuild, OPT_LEVELS, Profile};
use qemu_tests::paths;
use qemu_tests::setup::{self, Purpose};

/// Build the loader: target/little-loader.elf, and target/little-loader.bin, the same as a raw
/// arm64 Image
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// The options of a loader build, shared with `cargo qemu boot`.
#[derive(Args)]
pub(crate) struct Settings {
    /// The cargo profile to build with
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileName,
    /// The opt-level instead of the profile's
    #[arg(long, value_name = "LEVEL", value_parser = OPT_LEVELS)]
    opt_level: Option<String>,
    /// The block (of 512 bytes) at which the environment starts [default: 16]
    #[arg(long, value_name = "BLOCK")]
    env_lba: Option<u64>,
    /// The size of one copy of the environment [default: 131072]
    #[arg(long, value_name = "BYTES")]
    env_size: Option<u64>,
    /// The block at which a second copy of the environment starts [default: no second copy]
    #[arg(long, value_name = "BLOCK")]
    env_redundant_lba: Option<u64>,
    /// The kernel's exception level if the loader was entered at EL2: drop is EL1, keep is EL2,
    /// auto is EL1 with one CPU and EL2 with several [default: auto]
    #[arg(long, value_name = "POLICY", value_parser = ["auto", "keep", "drop"])]
    el2: Option<String>,
    /// Make the loader print only warnings and errors
    #[arg(long, conflicts_with = "trace")]
    quiet: bool,
    /// Make the loader print every step on the console
    #[arg(long)]
    trace: bool,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum ProfileName {
    /// With debug assertions and overflow checks, not optimised
    Dev,
    /// As shipped
    #[default]
    Release,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(Purpose::Build)?;
    let loader = loader(&arguments.settings)?;
    let size = qemu_tests::build::read_elf(&loader.elf)?;
    println!(
        "{}  for -kernel as an ELF, {} bytes loaded",
        loader.elf.display(),
        size.loaded()
    );
    println!("{}  for -kernel as a raw Image", loader.flat.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the loader with the default settings, and returns the ELF.
pub(crate) fn default_loader() -> Result<PathBuf> {
    let stem = paths::target().join("little-loader");
    Ok(build::loader(&LoaderBuild::default(), &stem)?.elf)
}

/// Builds the loader as `target/little-loader.elf` and `.bin`.
pub(crate) fn loader(settings: &Settings) -> Result<Loader> {
    let build = LoaderBuild {
        profile: match settings.profile {
            ProfileName::Dev => Profile::Dev,
            ProfileName::Release => Profile::Release,
        },
        opt_level: settings.opt_level.clone(),
        env_lba: settings.env_lba,
        env_size: settings.env_size,
        env_redundant_lba: settings.env_redundant_lba,
        el2: settings.el2.clone(),
        quiet: settings.quiet,
        trace: settings.trace,
        lines: false,
    };
    Ok(build::loader(
        &build,
        &paths::target().join("little-loader"),
    )?)
}
