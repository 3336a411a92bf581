// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu fleet`: the fleet's command line, with the loader and the images of this project.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use fleet::cli::{Arguments, GuestImage, GuestKind, Images};

use qemu_tests::demo::{Demo, Parts};
use qemu_tests::paths;
use qemu_tests::setup::{self, Purpose};

use super::build;

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    fleet::cli::main(arguments, &Project)
}

/// Makes what the user does not name.
struct Project;

/// The default settings of a loader build.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    settings: build::Settings,
}

impl Images for Project {
    fn loader(&self) -> Result<PathBuf> {
        setup::ensure(Purpose::Build)?;
        let defaults = Defaults::parse_from(["build"]);
        Ok(build::loader(&defaults.settings)?.elf)
    }

    fn image(&self, kind: GuestKind) -> Result<GuestImage> {
        match kind {
            GuestKind::Linux => {
                setup::ensure(Purpose::Boot)?;
                Ok(GuestImage {
                    path: Demo::make(&Parts::default())?.image,
                    memory_mib: None,
                    up_line: Some("by Little Loader.".to_owned()),
                })
            }
            GuestKind::Erlang | GuestKind::Elixir => {
                bail!("there is no image of this kind yet; use --guest linux or --image FILE")
            }
        }
    }

    fn state(&self) -> PathBuf {
        paths::target().join("fleet")
    }

    fn words(&self) -> &'static [&'static str] {
        &["fleet"]
    }
}
