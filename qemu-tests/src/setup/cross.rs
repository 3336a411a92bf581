// SPDX-License-Identifier: MIT OR Apache-2.0

//! What building a program for an arm64 Linux guest needs: Rust's standard library for it, and a C
//! compiler, which also links. On an arm64 Linux host both are the host's own.

use std::env;
use std::path::PathBuf;

use thiserror::Error;

use super::announce::announce;
use super::debian::mirrors::Mirrors;
use super::programs;
use super::rust_std;
use crate::harness::process::{self, ProcessError};
use crate::paths;
use crate::toolchain::{LINUX_TARGET, StandardLibrary, Toolchain};

/// Debian's cross compiler.
const COMPILER: &str = "aarch64-linux-gnu-gcc";
/// The packages that have it, and the C library to link with.
const PACKAGES: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

/// The means to build programs for [`LINUX_TARGET`].
#[derive(Clone, Debug)]
pub struct Cross {
    /// The form of the standard library.
    pub library: StandardLibrary,
    /// The C compiler; `None` on an arm64 host, where it is the default one.
    pub compiler: Option<PathBuf>,
}

/// The reason that this machine cannot build such programs.
#[derive(Debug, Error)]
pub enum CrossError {
    /// There is no standard library for the target.
    #[error(
        "rustc {version} has no standard library for {LINUX_TARGET}: `rustup target add {LINUX_TARGET}` installs it"
    )]
    NoLibrary {
        /// The compiler's version.
        version: String,
    },
    /// There is no C compiler for the target, and no apt that could install one.
    #[error("there is no {COMPILER}, and no apt-get to install {}", PACKAGES.join(" and "))]
    NoApt,
    /// apt could not install the C compiler.
    #[error("cannot install {}", PACKAGES.join(" and "))]
    Apt(#[source] ProcessError),
    /// apt succeeded, but the C compiler is still missing.
    #[error("{COMPILER} is still missing after {} was installed", PACKAGES[0])]
    NoCompiler,
}

/// Returns the means that are already there.
#[must_use]
pub fn find(toolchain: &Toolchain) -> Option<Cross> {
    Some(Cross {
        library: toolchain.standard_library_for(LINUX_TARGET)?,
        compiler: if is_native(toolchain) {
            None
        } else {
            Some(compiler()?)
        },
    })
}

/// Installs what is missing, and says so.
///
/// # Errors
/// Every [`CrossError`].
pub fn ensure(toolchain: &Toolchain) -> Result<Cross, CrossError> {
    if toolchain.standard_library_for(LINUX_TARGET).is_none()
        && !rust_std::by_rustup(toolchain, LINUX_TARGET)
    {
        // The sources serve every target. Only the reason counts here, which `find` below gives.
        if let Err(error) = rust_std::by_sources(toolchain, &Mirrors::of_system(), &paths::cache())
        {
            announce(&error.to_string());
        }
    }
    if !is_native(toolchain) && compiler().is_none() {
        if process::find("apt-get").is_none() {
            return Err(CrossError::NoApt);
        }
        let install = [
            &["install", "--yes", "--no-install-recommends"],
            &PACKAGES[..],
        ]
        .concat();
        if programs::apt_get(&install).is_err() {
            // Old package lists name files that no longer exist.
            programs::apt_get(&["update"]).map_err(CrossError::Apt)?;
            programs::apt_get(&install).map_err(CrossError::Apt)?;
        }
        compiler().ok_or(CrossError::NoCompiler)?;
    }
    find(toolchain).ok_or_else(|| CrossError::NoLibrary {
        version: toolchain.version.clone(),
    })
}

fn is_native(toolchain: &Toolchain) -> bool {
    toolchain.host == LINUX_TARGET
}

/// Returns the C compiler: the one that the environment names for cargo, else Debian's.
fn compiler() -> Option<PathBuf> {
    let named = env::var("CC_aarch64_unknown_linux_gnu").ok();
    process::find(named.as_deref().unwrap_or(COMPILER))
}
