// SPDX-License-Identifier: MIT OR Apache-2.0

//! Symbolic links at the path of a file that does not exist yet.

use std::fs;
use std::path::{Path, PathBuf};

/// The most symbolic links that are followed, as in Linux.
const LINKS: usize = 40;

/// The path that creating a file at `path` would create, through symbolic links at its end, which
/// may be dangling. `None` where there are too many of them, as in a loop.
pub(crate) fn target(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..=LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Some(path),
        }
    }
    None
}

/// The folder of a path.
pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("/"),
    }
}
