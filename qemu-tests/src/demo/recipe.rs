// SPDX-License-Identifier: MIT OR Apache-2.0

//! What files were made from, so that they are made anew only if something of it has changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{DemoError, failed};
use crate::output;

/// The inputs of files that are made.
#[derive(Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Recipe {
    inputs: Vec<Input>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Input {
    role: String,
    path: PathBuf,
    length: u64,
    /// Nanoseconds since 1970.
    modified: u128,
}

impl Recipe {
    /// Adds a file, or a folder with its contents.
    pub(crate) fn add(&mut self, role: &str, path: &Path) -> Result<(), DemoError> {
        add_input(role, path, &mut self.inputs)
    }

    /// Adds a setting that is not a file.
    pub(crate) fn add_setting(&mut self, role: &str, value: &str) {
        self.inputs.push(Input {
            role: role.to_owned(),
            path: PathBuf::from(value),
            length: 0,
            modified: 0,
        });
    }

    /// Calls `make` unless all `files` exist and were made from this recipe, which `note` says.
    pub(crate) fn keep<E: From<DemoError>>(
        &self,
        note: &Path,
        files: &[&Path],
        make: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        if files.iter().all(|file| file.is_file()) && Self::read(note).as_ref() == Some(self) {
            return Ok(());
        }
        // Without the note, an incomplete set of files is made anew by the next run.
        match fs::remove_file(note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(note)(error).into());
            }
            _ => make()?,
        }
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(note)(error.into()))?;
        Ok(output::write_whole(note, &text).map_err(failed(note))?)
    }

    fn read(note: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(note).ok()?).ok()
    }
}

/// Adds a file, or a folder with its contents. Links within a folder are not followed, because a
/// cycle of them would never end.
fn add_input(role: &str, path: &Path, inputs: &mut Vec<Input>) -> Result<(), DemoError> {
    let is_given = inputs.last().is_none_or(|last| last.role != role);
    let metadata = if is_given {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    let metadata = metadata.map_err(failed(path))?;
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    inputs.push(Input {
        role: role.to_owned(),
        path: path.to_owned(),
        length: metadata.len(),
        modified: modified.map_or(0, |age| age.as_nanos()),
    });
    if metadata.is_dir() {
        let mut entries = fs::read_dir(path)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(failed(path))?;
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            add_input(role, &entry.path(), inputs)?;
        }
    }
    Ok(())
}
