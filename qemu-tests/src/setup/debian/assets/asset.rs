// SPDX-License-Identifier: MIT OR Apache-2.0

//! The assets: their names, their folders in the cache, and their sources.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents::{CONTENTS, Contents};
use super::erlang;
use super::error::AssetError;
use crate::harness::emulator::PROGRAM;
use crate::setup::debian::kernels::DebianKernel;
use crate::setup::debian::mirrors::Mirrors;
use crate::setup::debian::sources::Source;

/// The folder under the cache. Change the name to invalidate existing caches.
pub(super) const FOLDER: &str = "debian-2";

/// The release whose installer is tested.
const INSTALLER_SUITE: &str = "bookworm";

/// A set of files from Debian's packages for arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// A shell and its tools, statically linked.
    Busybox,
    /// A kernel with the modules that the demo needs.
    Kernel(DebianKernel),
    /// U-Boot for QEMU's `virt` machine.
    UBoot,
    /// EDK2 for QEMU's `virt` machine.
    Edk2,
    /// Kernel and initrd of the network installer, with the text interface.
    Installer,
    /// QEMU for an emulated arm64 host, with the libraries that it needs, of one suite or of all of
    /// the system's own.
    ArmQemu(Option<&'static str>),
    /// Erlang and Elixir, with the libraries and tools that a guest of theirs needs.
    Erlang,
}

impl Asset {
    /// Returns the name for messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Busybox => "busybox".to_owned(),
            Self::Kernel(kernel) => format!("kernel {}", kernel.id()),
            Self::UBoot => "U-Boot".to_owned(),
            Self::Edk2 => "EDK2".to_owned(),
            Self::Installer => "Debian 12's installer".to_owned(),
            Self::ArmQemu(None) => "QEMU for arm64 hosts".to_owned(),
            Self::ArmQemu(Some(suite)) => format!("QEMU for arm64 hosts, {suite}"),
            Self::Erlang => "Erlang".to_owned(),
        }
    }

    /// Returns the folder of its files in the cache, whether or not it exists.
    #[must_use]
    pub fn folder(&self, cache: &Path) -> PathBuf {
        let name = match self {
            Self::Busybox => "busybox".to_owned(),
            Self::Kernel(kernel) => format!("linux-{}", kernel.id()),
            Self::UBoot => "u-boot".to_owned(),
            Self::Edk2 => "edk2".to_owned(),
            Self::Installer => "installer-12".to_owned(),
            Self::ArmQemu(None) => "arm-qemu".to_owned(),
            Self::ArmQemu(Some(suite)) => format!("arm-qemu-{suite}"),
            Self::Erlang => "erlang".to_owned(),
        };
        cache.join(FOLDER).join(name)
    }

    /// Returns the path of its `contents.json`, which lists its packages and modules.
    #[must_use]
    pub fn contents_file(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join(CONTENTS)
    }

    /// Returns the names and versions of its packages, if it is complete in the cache.
    #[must_use]
    pub fn describe(&self, cache: &Path) -> Option<String> {
        let contents = self.find(cache)?;
        let packages = contents.packages.iter();
        let packages: Vec<String> = packages
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        Some(packages.join(", "))
    }

    /// Returns the path of one of its files.
    #[must_use]
    pub fn file(&self, name: &str, cache: &Path) -> PathBuf {
        self.folder(cache).join(name)
    }

    pub(super) fn find(&self, cache: &Path) -> Option<Contents> {
        let contents = fs::read(self.contents_file(cache)).ok()?;
        let contents: Contents = serde_json::from_slice(&contents).ok()?;
        let files = match self {
            Self::Busybox => &["busybox"][..],
            // The module that is asked for since the last change of the list.
            Self::Kernel(DebianKernel::STOCK) => &["vmlinuz", "virtio_balloon.ko"],
            Self::Kernel(_) => &["vmlinuz"],
            Self::UBoot => &["u-boot.bin"],
            Self::Edk2 => &["QEMU_EFI.fd"],
            Self::Installer => &["linux", "initrd.gz"],
            Self::ArmQemu(_) => &[PROGRAM],
            Self::Erlang => erlang::FILES,
        };
        let modules = contents.modules.iter().chain(&contents.on_demand);
        let listed = modules.chain(&contents.libraries);
        let folder = self.folder(cache);
        files
            .iter()
            .copied()
            .chain(listed.map(String::as_str))
            .all(|name| folder.join(name).is_file())
            .then_some(contents)
    }

    /// Returns the sources whose package lists to search.
    pub(super) fn sources(&self, mirrors: &Mirrors) -> Result<Vec<Source>, AssetError> {
        let suite = match self {
            Self::Busybox | Self::UBoot | Self::Edk2 | Self::Erlang => None,
            Self::ArmQemu(suite) => *suite,
            Self::Kernel(kernel) => kernel.suite,
            Self::Installer => Some(INSTALLER_SUITE)
                .filter(|suite| !mirrors.all().iter().any(|source| source.suite == *suite)),
        };
        match suite {
            None => Ok(mirrors.all().to_vec()),
            Some(suite) => {
                let mirror = mirrors.debian().ok_or(AssetError::NoArchive)?;
                // Backports depend on packages of the suite that they are based on.
                let base = match self {
                    Self::ArmQemu(_) => suite.strip_suffix("-backports"),
                    _ => None,
                };
                let suites = std::iter::once(suite).chain(base);
                Ok(suites.map(|suite| mirror.with_suite(suite)).collect())
            }
        }
    }
}
