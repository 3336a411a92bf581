// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU for an emulated arm64 host, in the cache.

use std::path::{Path, PathBuf};

use super::asset::Asset;
use super::contents::Contents;
use crate::harness::emulator::PROGRAM;
use crate::setup::debian::kernels::SUITES;

/// QEMU's emulator for arm64 hosts, and the libraries that it needs.
#[derive(Clone, Debug)]
pub struct ArmQemu {
    folder: PathBuf,
    contents: Contents,
}

impl ArmQemu {
    /// Returns the one of `suite`, or of the system's own suites, if it is complete in `cache`.
    #[must_use]
    pub fn find(suite: Option<&'static str>, cache: &Path) -> Option<Self> {
        let asset = Asset::ArmQemu(suite);
        Some(Self {
            folder: asset.folder(cache),
            contents: asset.find(cache)?,
        })
    }

    /// Returns the suites of which `cache` has one, apart from the system's own.
    #[must_use]
    pub fn suites(cache: &Path) -> Vec<&'static str> {
        let suites = SUITES.into_iter();
        suites
            .filter(|suite| Self::find(Some(suite), cache).is_some())
            .collect()
    }

    /// Returns the program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.folder.join(PROGRAM)
    }

    /// Returns the libraries, including the dynamic linker.
    #[must_use]
    pub fn libraries(&self) -> Vec<PathBuf> {
        let names = self.contents.libraries.iter();
        names.map(|name| self.folder.join(name)).collect()
    }
}
