// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of a guest: one of Debian's kernels, the modules it needs, and a static busybox, as
//! the cache has them.

use std::path::{Path, PathBuf};

use super::asset::Asset;
use super::contents::Contents;
use crate::setup::debian::kernels::DebianKernel;

/// A kernel, its modules and busybox, all for arm64.
#[derive(Clone, Debug)]
pub struct Kit {
    asset: Asset,
    cache: PathBuf,
    contents: Contents,
}

impl Kit {
    /// The demo's kit under `cache`, if it is there and whole.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        Self::find_with(DebianKernel::STOCK, cache)
    }

    /// The kit with another kernel.
    #[must_use]
    pub fn find_with(kernel: DebianKernel, cache: &Path) -> Option<Self> {
        Asset::Busybox.find(cache)?;
        let asset = Asset::Kernel(kernel);
        Some(Self {
            asset,
            cache: cache.to_owned(),
            contents: asset.find(cache)?,
        })
    }

    /// The kernel as the package has it: a raw Image, or an EFI zboot one.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.file("vmlinuz")
    }

    /// The output of `uname -r`, for example `6.1.0-56-arm64`.
    #[must_use]
    pub fn kernel_release(&self) -> &str {
        let image = self.contents.packages.first();
        image.map_or("", |package| {
            package.name.trim_start_matches("linux-image-")
        })
    }

    /// The version of the kernel's package, for example `6.1.192-2`.
    #[must_use]
    pub fn kernel_version(&self) -> &str {
        let image = self.contents.packages.first();
        image.map_or("", |package| package.version.as_str())
    }

    /// The modules to load, in this order.
    #[must_use]
    pub fn modules(&self) -> Vec<PathBuf> {
        self.contents
            .modules
            .iter()
            .map(|name| self.file(name))
            .collect()
    }

    /// Modules that wait for somebody to ask for the last of them, in the order in which they load.
    #[must_use]
    pub fn modules_on_demand(&self) -> Vec<PathBuf> {
        self.contents
            .on_demand
            .iter()
            .map(|name| self.file(name))
            .collect()
    }

    /// The files that say what the kit is made of.
    #[must_use]
    pub fn contents_files(&self) -> [PathBuf; 2] {
        [Asset::Busybox, self.asset].map(|asset| asset.contents_file(&self.cache))
    }

    /// busybox, statically linked.
    #[must_use]
    pub fn busybox(&self) -> PathBuf {
        Asset::Busybox.folder(&self.cache).join("busybox")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.asset.folder(&self.cache).join(name)
    }
}
