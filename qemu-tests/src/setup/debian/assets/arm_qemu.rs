// SPDX-License-Identifier: MIT OR Apache-2.0

//! QEMU for an emulated arm64 host, in the cache.

use std::path::{Path, PathBuf};

use super::asset::Asset;
use super::contents::Contents;
use crate::harness::emulator::PROGRAM;

/// QEMU's emulator for arm64 hosts, and the libraries that it needs.
#[derive(Clone, Debug)]
pub struct ArmQemu {
    folder: PathBuf,
    contents: Contents,
}

impl ArmQemu {
    /// Returns it, if it is complete in `cache`.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        Some(Self {
            folder: Asset::ArmQemu.folder(cache),
            contents: Asset::ArmQemu.find(cache)?,
        })
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
