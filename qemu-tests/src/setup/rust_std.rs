// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bare-metal standard library: from rustup if possible, else as sources from a Debian archive.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use super::announce::announce;
use super::debian::archive::{Archive, ArchiveError};
use super::debian::mirrors::Mirrors;
use super::debian::sources::Source;
use super::debian::unpack;
use crate::harness::process;
use crate::toolchain::{SOURCE_STAMP, TARGET, Toolchain};

/// The time limit for rustup, which keeps trying without a network: enough for 10 MB on a slow
/// line.
const RUSTUP: Duration = Duration::from_secs(120);

/// Suites that may have a recent compiler, the likeliest first. These names are independent of the
/// current release.
const SUITES: [&str; 6] = [
    "stable-backports",
    "testing",
    "unstable",
    "stable",
    "oldstable-backports",
    "experimental",
];

/// The reason that there is still no standard library.
#[derive(Debug, Error)]
pub enum RustStdError {
    /// No package has the sources of exactly this compiler.
    #[error(
        "rustc {version} has no standard library for {TARGET}: rustup could not add it, and {looked}. \
         With a network, `rustup target add {TARGET}` installs it; `rustup toolchain install <version>` installs a compiler that \
         the archive has the sources of"
    )]
    NotFound {
        /// The compiler's version.
        version: String,
        /// The places that were searched.
        looked: String,
    },
    /// The package could not be downloaded.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The sources could not be installed where cargo looks for them.
    #[error("cannot put the standard library's sources at {path}")]
    Install {
        /// The destination.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Installs the standard library of `toolchain` for [`TARGET`], prebuilt or as sources.
///
/// # Errors
/// Every [`RustStdError`].
pub fn install(toolchain: &Toolchain, mirrors: &Mirrors, cache: &Path) -> Result<(), RustStdError> {
    if by_rustup(toolchain, TARGET) {
        return Ok(());
    }
    by_sources(toolchain, mirrors, cache)
}

/// Installs the sources, from which cargo can build the library for any target.
pub(super) fn by_sources(
    toolchain: &Toolchain,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<(), RustStdError> {
    let Some(mirror) = mirrors.debian() else {
        let looked = "apt has no Debian archive among its sources".to_owned();
        return Err(RustStdError::NotFound {
            version: toolchain.version.clone(),
            looked,
        });
    };
    by_debian(toolchain, mirror, cache)
}

/// Adds the prebuilt library of a target, if there is a rustup that can.
pub(super) fn by_rustup(toolchain: &Toolchain, target: &str) -> bool {
    if process::find("rustup").is_none() {
        return false;
    }
    announce(&format!(
        "rustup target add {target} (given up after {} s)",
        RUSTUP.as_secs()
    ));
    let mut command = Command::new("rustup");
    command
        .args(["target", "add", target])
        .env("RUSTUP_MAX_RETRIES", "0");
    match process::capture(&mut command, RUSTUP) {
        Ok(_) => {
            let added = toolchain.standard_library_for(target).is_some();
            if !added {
                announce("rustup reports it as installed, but it is missing");
            }
            added
        }
        Err(error) => {
            let text = error.to_string();
            let reason = text
                .lines()
                .find(|line| line.trim_start().starts_with("error"))
                .unwrap_or(&text);
            announce(&format!("rustup failed: {}", reason.trim()));
            false
        }
    }
}

fn by_debian(toolchain: &Toolchain, mirror: &Source, cache: &Path) -> Result<(), RustStdError> {
    announce(&format!(
        "looking for the sources of rustc {} in {}",
        toolchain.version, mirror.uri
    ));
    for suite in SUITES {
        let archive = Archive::open(cache, &[mirror.with_suite(suite)], "arm64")?;
        let versions = archive.versions("rust-src")?;
        let Some(version) = versions
            .iter()
            .find(|version| upstream(version) == toolchain.version)
        else {
            continue;
        };
        announce(&format!("downloading rust-src {version} from {suite}"));
        let package = archive.download("rust-src", version)?;
        announce(&format!(
            "unpacking it to {}",
            toolchain.source_folder().display()
        ));
        return put_in_place(&package, toolchain);
    }
    let looked = format!(
        "no rust-src package of {} in {} is of that version",
        mirror.uri,
        SUITES.join(", ")
    );
    Err(RustStdError::NotFound {
        version: toolchain.version.clone(),
        looked,
    })
}

/// Returns the upstream part of a Debian version: `1.95.0` for `1.95.0+dfsg1-2~bpo13+1`.
fn upstream(version: &str) -> &str {
    let version = version
        .split_once(':')
        .map_or(version, |(_, version)| version);
    version.split(['+', '-']).next().unwrap_or(version)
}

/// Unpacks next to the destination and renames, so that an interruption leaves nothing that looks
/// complete.
fn put_in_place(package: &Path, toolchain: &Toolchain) -> Result<(), RustStdError> {
    let folder = toolchain.source_folder();
    let failed = |source| RustStdError::Install {
        path: folder.clone(),
        source,
    };
    fs::create_dir_all(&folder).map_err(failed)?;
    let unpacked = tempfile::Builder::new()
        .prefix("unpack-")
        .tempdir_in(&folder)
        .map_err(failed)?;
    let version = &toolchain.version;
    unpack::files(
        package,
        &[&format!("./usr/src/rustc-{version}/library")],
        unpacked.path(),
    )?;
    let library = folder.join("library");
    if library.exists() {
        fs::remove_dir_all(&library).map_err(failed)?;
    }
    fs::write(folder.join(SOURCE_STAMP), format!("{version}\n")).map_err(failed)?;
    fs::rename(
        unpacked
            .path()
            .join(format!("usr/src/rustc-{version}/library")),
        library,
    )
    .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_versions() {
        assert_eq!(upstream("1.95.0+dfsg1-2~bpo13+1"), "1.95.0");
        assert_eq!(
            upstream("1.95.0~beta.3+dfsg1-1"),
            "1.95.0~beta.3",
            "a beta is another compiler"
        );
        assert_eq!(upstream("1:1.63.0-2"), "1.63.0");
    }
}
