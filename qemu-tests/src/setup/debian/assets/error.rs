// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of assets.

use std::io;
use std::path::{Path, PathBuf};

use imagegen::modules::ModulesError;
use thiserror::Error;

use super::libraries::LibrariesError;
use crate::setup::debian::archive::ArchiveError;

/// The reason that an asset is not available.
#[derive(Debug, Error)]
pub enum AssetError {
    /// apt's sources contain no Debian archive.
    #[error(
        "there is no Debian archive among apt's sources to get arm64 kernels and busybox from; give `cargo qemu boot` \
         your own by --kernel, --initrd and --rootfs, or set LITTLE_LOADER_DEBIAN_MIRROR to the URL of a Debian archive"
    )]
    NoArchive,
    /// The archive could not be reached, or its lists lack a package.
    #[error(
        "{suites} of {uri} has no package {package} for arm64, or cannot be reached (`cargo qemu boot` also accepts a kernel \
         of your own, by --kernel, --initrd and --rootfs)"
    )]
    NoPackage {
        /// The archive.
        uri: String,
        /// The suites that were searched.
        suites: String,
        /// The package.
        package: String,
    },
    /// A package could not be downloaded or unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A package lacks a file.
    #[error("the package has no file {0}")]
    NoFile(String),
    /// The kernel package is not as expected.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// A program or a library that it needs is missing.
    #[error(transparent)]
    Libraries(#[from] LibrariesError),
    /// The cache could not be written.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> AssetError {
    let path = path.to_owned();
    move |source| AssetError::Io { path, source }
}
