// SPDX-License-Identifier: MIT OR Apache-2.0

//! The merging of equal pages by the host's kernel (Linux, Documentation/admin-guide/mm/ksm.rst).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::FleetError;

/// The folder of its settings.
pub const SYSFS: &str = "/sys/kernel/mm/ksm";

/// Whether [`Merging::begin`] can succeed.
#[must_use]
pub fn is_possible(sysfs: &Path) -> bool {
    let run = sysfs.join("run");
    is_on(&run).unwrap_or(false) || fs::OpenOptions::new().write(true).open(run).is_ok()
}

fn is_on(run: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(run)?.trim() == "1")
}

/// How thoroughly the kernel looks for equal pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Guests are being started, whose pages are to be merged before the memory is full.
    Starting,
    /// Little changes.
    Rest,
}

impl Pace {
    /// Returns the pages that the kernel examines before it pauses for 20 ms, its usual pause. One page
    /// takes it some microseconds.
    fn pages(self) -> &'static str {
        match self {
            Self::Starting => "4000",
            Self::Rest => "300",
        }
    }
}

/// The kernel merges pages; settings that were changed for that are restored at the end.
#[derive(Debug)]
pub struct Merging {
    pages_to_scan: PathBuf,
    pace: Pace,
    /// The settings before they were changed.
    changed: Vec<(PathBuf, String)>,
}

impl Merging {
    /// Turns on the merging by the settings in `sysfs`, usually [`SYSFS`], unless it is on.
    ///
    /// # Errors
    /// When the kernel has no such settings, or they may not be changed.
    pub fn begin(sysfs: &Path) -> Result<Self, FleetError> {
        let mut merging = Self {
            pages_to_scan: sysfs.join("pages_to_scan"),
            pace: Pace::Starting,
            changed: Vec::new(),
        };
        let run = sysfs.join("run");
        let failed = |source| FleetError::Ksm {
            path: run.clone(),
            source,
        };
        if !is_on(&run).map_err(failed)? {
            let pages = merging.pages_to_scan.clone();
            for (path, value) in [(pages, merging.pace.pages()), (run.clone(), "1")] {
                let before = fs::read_to_string(&path).map_err(failed)?;
                fs::write(&path, value).map_err(failed)?;
                merging.changed.push((path, before));
            }
        }
        Ok(merging)
    }

    /// Sets how thoroughly the kernel looks, unless somebody else had turned it on.
    pub fn set_pace(&mut self, pace: Pace) {
        if self.pace != pace && !self.changed.is_empty() {
            self.pace = pace;
            // The setting could be changed before; without this one it only takes longer, or more.
            let _ = fs::write(&self.pages_to_scan, pace.pages());
        }
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
        assert!(is_possible(folder.path()));
        let mut merging = Merging::begin(folder.path()).unwrap();
        assert_eq!(settings(&folder), ["1", "4000"]);
        merging.set_pace(Pace::Rest);
        assert_eq!(settings(&folder), ["1", "300"]);
        drop(merging);
        assert_eq!(settings(&folder), ["0", "100"]);
    }

    #[test]
    fn what_is_on_is_left_alone() {
        let folder = sysfs("1\n");
        let mut merging = Merging::begin(folder.path()).unwrap();
        merging.set_pace(Pace::Rest);
        assert_eq!(settings(&folder), ["1", "100"]);
        drop(merging);
        assert_eq!(settings(&folder), ["1", "100"]);
    }

    #[test]
    fn a_failure_changes_nothing() {
        let folder = sysfs("0\n");
        assert!(!is_possible(&folder.path().join("missing")));
        fs::remove_file(folder.path().join("pages_to_scan")).unwrap();
        let error = Merging::begin(folder.path()).unwrap_err().to_string();
        assert!(error.contains("leave out --ksm"), "{error}");
        assert_eq!(
            fs::read_to_string(folder.path().join("run")).unwrap(),
            "0\n"
        );
    }
}
