// SPDX-License-Identifier: MIT OR Apache-2.0

//! Symbolic links at the path of a file that does not exist yet.

use std::fs;
use std::path::{Path, PathBuf};

/// The maximum number of symbolic links to follow, the same as in Linux.
const LINKS: usize = 40;

/// Returns the path of the file that creating `path` would create: follows symbolic links in the
/// last component, even dangling ones. `None` if there are too many links, as in a loop.
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

/// Returns the parent folder: `.` for a bare file name, `/` for the root.
pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("/"),
    }
}
