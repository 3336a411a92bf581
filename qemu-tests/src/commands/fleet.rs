// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cargo qemu fleet`: the fleet's command line, with the loader and the images of this project.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use fleet::cli::{Arguments, GuestImage, GuestKind, Images};

use qemu_tests::guests;
use qemu_tests::paths;
use qemu_tests::setup::{self, Purpose};

use super::{build, guest};

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    fleet::cli::main(arguments, &Project)
}

/// Makes what the user does not name.
struct Project;

impl Images for Project {
    fn loader(&self) -> Result<PathBuf> {
        setup::ensure(Purpose::Build)?;
        build::default_loader()
    }

    fn image(&self, kind: GuestKind) -> Result<GuestImage> {
        let kind = guest::kind(kind);
        setup::ensure(kind.purpose())?;
        Ok(GuestImage {
            path: guests::usual_image(kind)?,
            memory_mib: Some(kind.memory_mib()),
        })
    }

    fn state(&self) -> PathBuf {
        paths::target().join("fleet")
    }

    fn words(&self) -> &'static [&'static str] {
        &["fleet"]
    }
}
