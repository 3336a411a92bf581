// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Rust toolchain in use, and its bare-metal standard library.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use crate::harness::process::{self, ProcessError};
use crate::paths;

/// The loader's target: no SIMD registers, no unaligned accesses.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The target of programs that run inside an arm64 Linux guest.
pub const LINUX_TARGET: &str = "aarch64-unknown-linux-gnu";

/// The time limit for a query of `rustc`.
const QUERY: Duration = Duration::from_secs(60);

/// The file next to sources that [`crate::setup`] installed. It holds the compiler version they are
/// for, because rustup does not update them.
pub const SOURCE_STAMP: &str = "little-loader-setup-version";

/// The reason that the toolchain could not be examined.
#[derive(Debug, Error)]
pub enum ToolchainError {
    /// `rustc` could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The output of `rustc -vV` lacks a line.
    #[error("`rustc -vV` does not report its `{0}`")]
    Unexpected(&'static str),
}

/// The time limit for building a program.
const BUILD: Duration = Duration::from_secs(900);

/// Builds the program of the same name in a package of the workspace, with the release profile or
/// with the dev profile, and returns its path.
///
/// # Errors
/// When the build fails.
pub fn host_program(package: &str, release: bool) -> Result<PathBuf, ProcessError> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--package", package]);
    build.args(release.then_some("--release"));
    process::run(&mut build, BUILD)?;
    let profile = if release { "release" } else { "debug" };
    Ok(paths::target().join(profile).join(package))
}

/// The form of a target's standard library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardLibrary {
    /// Installed, as `rustup target add` does.
    Prebuilt,
    /// Only the sources are installed: cargo builds the library along with the program.
    Source,
}

/// The toolchain that cargo uses in this work tree.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The release, for example `1.95.0`.
    pub version: String,
    /// The host's target triple, for example `x86_64-unknown-linux-gnu`.
    pub host: String,
    /// The folder it is installed in.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Queries `rustc`, or the program named by `RUSTC`.
    ///
    /// # Errors
    /// When `rustc` cannot be run or does not report its version and host.
    pub fn query() -> Result<Self, ToolchainError> {
        let verbose = process::capture(rustc().arg("-vV"), QUERY)?;
        let field = |name: &'static str| {
            let value = verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value
                .map(str::to_owned)
                .ok_or(ToolchainError::Unexpected(name))
        };
        let sysroot = process::capture(rustc().args(["--print", "sysroot"]), QUERY)?;
        Ok(Self {
            version: field("release")?,
            host: field("host")?,
            sysroot: PathBuf::from(sysroot.trim_end()),
        })
    }

    /// Returns the folder for the sources of the standard library.
    #[must_use]
    pub fn source_folder(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }

    /// Returns the folder of the toolchain's programs for the host, such as `llvm-size` of rustup's
    /// llvm-tools.
    #[must_use]
    pub fn program_folder(&self) -> PathBuf {
        self.sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin")
    }

    /// Returns the installed form of the bare-metal standard library; `None` if there is none.
    #[must_use]
    pub fn standard_library(&self) -> Option<StandardLibrary> {
        self.standard_library_for(TARGET)
    }

    /// Returns the installed form of the standard library for a target; `None` if there is none.
    #[must_use]
    pub fn standard_library_for(&self, target: &str) -> Option<StandardLibrary> {
        if has_core(&self.sysroot.join("lib/rustlib").join(target).join("lib")) {
            return Some(StandardLibrary::Prebuilt);
        }
        let sources = self.source_folder();
        let complete = sources.join("library/core/src/lib.rs").is_file()
            && sources.join("library/Cargo.lock").is_file();
        // Sources without a stamp are rustup's own, which always match the compiler.
        let stale = fs::read_to_string(sources.join(SOURCE_STAMP))
            .is_ok_and(|version| version.trim() != self.version);
        (complete && !stale).then_some(StandardLibrary::Source)
    }
}

/// Returns the folders in which cargo unpacks crates, one for each registry.
#[must_use]
pub fn registries() -> Vec<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| Some(env::home_dir()?.join(".cargo"))) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(home.join("registry/src")) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn has_core(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

fn rustc() -> Command {
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    command.current_dir(paths::workspace());
    command
}

/// Returns the cargo that runs this program, else the one on the `PATH`.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(paths::workspace());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(sysroot: &Path) -> Toolchain {
        Toolchain {
            version: "1.95.0".into(),
            host: "x86_64-unknown-linux-gnu".into(),
            sysroot: sysroot.into(),
        }
    }

    fn touch(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_prebuilt_library_comes_before_sources_and_stale_sources_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let toolchain = toolchain(folder.path());
        assert_eq!(toolchain.standard_library(), None);

        let sources = toolchain.source_folder();
        touch(&sources.join("library/core/src/lib.rs"), "");
        assert_eq!(
            toolchain.standard_library(),
            None,
            "without Cargo.lock cargo cannot build it"
        );
        touch(&sources.join("library/Cargo.lock"), "");
        assert_eq!(toolchain.standard_library(), Some(StandardLibrary::Source));
        touch(&sources.join(SOURCE_STAMP), "1.94.1\n");
        assert_eq!(toolchain.standard_library(), None);
        touch(&sources.join(SOURCE_STAMP), "1.95.0\n");
        assert_eq!(toolchain.standard_library(), Some(StandardLibrary::Source));

        touch(
            &folder
                .path()
                .join("lib/rustlib")
                .join(TARGET)
                .join("lib/libcore-0123.rlib"),
            "",
        );
        assert_eq!(
            toolchain.standard_library(),
            Some(StandardLibrary::Prebuilt)
        );
    }
}
