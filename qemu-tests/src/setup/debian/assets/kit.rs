// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of a guest in the cache: one of Debian's kernels, its modules, and a static busybox.

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
    /// Returns the demo's kit, if it is complete in `cache`.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        Self::find_with(DebianKernel::STOCK, cache)
    }

    /// Returns the kit with another kernel.
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

    /// Returns the kernel file of the package: a raw Image or an EFI zboot one.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.file("vmlinuz")
    }

    /// Returns the kernel's `uname -r`, for example `6.1.0-56-arm64`.
    #[must_use]
    pub fn kernel_release(&self) -> &str {
        let image = self.contents.packages.first();
        image.map_or("", |package| {
            package.name.trim_start_matches("linux-image-")
        })
    }

    /// Returns the version of the kernel's package, for example `6.1.192-2`.
    #[must_use]
    pub fn kernel_version(&self) -> &str {
        let image = self.contents.packages.first();
        image.map_or("", |package| package.version.as_str())
    }

    /// Returns the modules that the initrd loads, in this order.
    #[must_use]
    pub fn modules(&self) -> Vec<PathBuf> {
        self.contents
            .modules
            .iter()
            .map(|name| self.file(name))
            .collect()
    }

    /// Returns modules to load on demand, each with the names of those among them that it needs, in
    /// the order in which they load.
    #[must_use]
    pub fn modules_on_demand(&self) -> Vec<(PathBuf, &[String])> {
        let contents = &self.contents;
        let names = contents.on_demand.iter();
        names
            .map(|name| {
                let needed = contents.dependencies.get(name);
                (self.file(name), needed.map_or(&[][..], Vec::as_slice))
            })
            .collect()
    }

    /// Returns the files that list the kit's packages: busybox's and the kernel's.
    #[must_use]
    pub fn contents_files(&self) -> [PathBuf; 2] {
        [Asset::Busybox, self.asset].map(|asset| asset.contents_file(&self.cache))
    }

    /// Returns the statically linked busybox.
    #[must_use]
    pub fn busybox(&self) -> PathBuf {
        Asset::Busybox.folder(&self.cache).join("busybox")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.asset.folder(&self.cache).join(name)
    }
}
