// SPDX-License-Identifier: MIT OR Apache-2.0

//! The merging of equal pages by the host's kernel (Linux, Documentation/admin-guide/mm/ksm.rst).

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::FleetError;

/// The folder of its settings.
pub const SYSFS: &str = "/sys/kernel/mm/ksm";

/// The pages that the kernel examines before it pauses for 20 ms: with the usual 100 it would take
/// a quarter of an hour for a thousand clones.
const PAGES_TO_SCAN: &str = "1000";

/// The kernel merges pages; settings that were changed for that are restored at the end.
#[derive(Debug)]
pub struct Merging {
    changed: Vec<(PathBuf, String)>,
}

impl Merging {
    /// Turns on the merging by the settings in `sysfs`, usually [`SYSFS`], unless it is on.
    ///
    /// # Errors
    /// When the kernel has no such settings, or they may not be changed.
    pub fn begin(sysfs: &Path) -> Result<Self, FleetError> {
        let mut merging = Self {
            changed: Vec::new(),
        };
        let run = sysfs.join("run");
        let failed = |source| FleetError::Ksm {
            path: run.clone(),
            source,
        };
        if fs::read_to_string(&run).map_err(failed)?.trim() != "1" {
            for (name, value) in [("pages_to_scan", PAGES_TO_SCAN), ("run", "1")] {
                merging.change(sysfs.join(name), value).map_err(failed)?;
            }
        }
        Ok(merging)
    }

    fn change(&mut self, path: PathBuf, value: &str) -> std::io::Result<()> {
        let before = fs::read_to_string(&path)?;
        fs::write(&path, value)?;
        self.changed.push((path, before));
        Ok(())
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        for (path, before) in self.changed.drain(..).rev() {
            // Whoever was allowed to change it may change it back.
            let _ = fs::write(path, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysfs(run: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("run"), run).unwrap();
        fs::write(folder.path().join("pages_to_scan"), "100\n").unwrap();
        folder
    }

    fn settings(folder: &tempfile::TempDir) -> [String; 2] {
        ["run", "pages_to_scan"].map(|name| {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            text.trim().to_owned()
        })
    }

    #[test]
    fn it_is_on_until_the_end() {
        let folder = sysfs("0\n");
        let merging = Merging::begin(folder.path()).unwrap();
        assert_eq!(settings(&folder), ["1", PAGES_TO_SCAN]);
        drop(merging);
        assert_eq!(settings(&folder), ["0", "100"]);
    }

    #[test]
    fn what_is_on_is_left_alone() {
        let folder = sysfs("1\n");
        let merging = Merging::begin(folder.path()).unwrap();
        assert_eq!(settings(&folder), ["1", "100"]);
        drop(merging);
        assert_eq!(settings(&folder), ["1", "100"]);
    }

    #[test]
    fn a_failure_changes_nothing() {
        let folder = sysfs("0\n");
        fs::remove_file(folder.path().join("pages_to_scan")).unwrap();
        let error = Merging::begin(folder.path()).unwrap_err().to_string();
        assert!(error.contains("leave out --ksm"), "{error}");
        assert_eq!(
            fs::read_to_string(folder.path().join("run")).unwrap(),
            "0\n"
        );
    }
}
