// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finds files in unpacked packages.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{AssetError, failed};

/// Returns a file under `tree` whose name begins with `prefix`.
pub(super) fn find_file(tree: &Path, prefix: &str) -> Result<PathBuf, AssetError> {
    find(tree, &|name: &str| name.starts_with(prefix))?
        .ok_or_else(|| AssetError::NoFile(prefix.to_owned()))
}

/// Returns a file under `tree` whose name `fits`.
fn find(tree: &Path, fits: &impl Fn(&str) -> bool) -> Result<Option<PathBuf>, AssetError> {
    for entry in fs::read_dir(tree).map_err(failed(tree))? {
        let entry = entry.map_err(failed(tree))?;
        if entry.file_type().map_err(failed(tree))?.is_dir() {
            if let Some(found) = find(&entry.path(), fits)? {
                return Ok(Some(found));
            }
        } else if entry.file_name().to_str().is_some_and(fits) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_the_beginning_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let boot = folder.path().join("boot");
        fs::create_dir_all(boot.join("vmlinuz")).unwrap();
        let error = find_file(folder.path(), "vmlinuz").unwrap_err();
        assert_eq!(error.to_string(), "the package has no file vmlinuz");
        fs::write(boot.join("vmlinuz-6.1"), "").unwrap();
        let found = find_file(folder.path(), "vmlinuz").unwrap();
        assert_eq!(found, boot.join("vmlinuz-6.1"));
    }
}
