// SPDX-License-Identifier: MIT OR Apache-2.0

//! Copies files to the folder that all nodes see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::settings::ImageFile;

/// Returns where the nodes find `file`: itself, if it is in `shared`, else a copy. A file that was
/// copied before is not copied again; one that has changed since gets another name, because running
/// guests use the old copy.
///
/// # Errors
/// When the file cannot be read or copied.
pub(super) fn copy(file: &Path, shared: &Path) -> anyhow::Result<PathBuf> {
    let source = file
        .canonicalize()
        .with_context(|| format!("finding {}", file.display()))?;
    if source.starts_with(shared) {
        return Ok(source);
    }
    let ImageFile {
        length, modified, ..
    } = ImageFile::of(&source)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let folder = shared.join("files");
    let target = folder.join(format!("{length:x}-{modified:x}-{name}"));
    if target.exists() {
        return Ok(target);
    }
    let context = || format!("copying {} to {}", file.display(), target.display());
    fs::create_dir_all(&folder).with_context(context)?;
    let part = TempDir::new_in(&folder).with_context(context)?;
    let copy = part.path().join("copy");
    // It keeps the holes of an image.
    let mut cp = Command::new("cp");
    cp.args(["--sparse=always", "--"]).arg(&source).arg(&copy);
    let output = cp.output().with_context(context)?;
    ensure!(
        output.status.success(),
        "{}: {}",
        context(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    fs::rename(&copy, &target).with_context(context)?;
    Ok(target)
}
