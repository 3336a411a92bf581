// SPDX-License-Identifier: MIT OR Apache-2.0

//! The paths of the work tree, the target folder, and the cache outside of both.

use std::env;
use std::path::{Path, PathBuf};

/// Returns the root of the work tree that this crate was built from.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Returns cargo's target folder: `CARGO_TARGET_DIR` if set, else `target` in the work tree.
#[must_use]
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Returns the folder for downloads, which clones share: `$XDG_CACHE_HOME/little-loader`, else
/// `~/.cache/little-loader`, else a folder under [`target`] for users without a home.
#[must_use]
pub fn cache() -> PathBuf {
    // The XDG Base Directory Specification requires relative paths to be ignored.
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map_or_else(|| target().join("cache"), |base| base.join("little-loader"))
}
