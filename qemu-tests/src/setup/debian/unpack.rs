// SPDX-License-Identifier: MIT OR Apache-2.0

//! Unpacking package files.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::archive::ArchiveError;
use crate::harness::process::{self, ProcessError};

/// Unpacks the members of `package` that match `patterns` (tar wildcards, `./` first) into
/// `folder`.
///
/// # Errors
/// When dpkg-deb or tar fails, also for a pattern without a match.
pub fn files(package: &Path, patterns: &[&str], folder: &Path) -> Result<(), ArchiveError> {
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--wildcards", "--directory"])
        .arg(folder)
        .args(patterns);
    by_tar(tar, package)
}

/// Unpacks all of `package` into `folder`, which may contain other unpacked packages.
///
/// # Errors
/// When dpkg-deb or tar fails.
pub fn all_files(package: &Path, folder: &Path) -> Result<(), ArchiveError> {
    let mut tar = Command::new("tar");
    // A folder in one package may be a link in another, such as /lib to /usr/lib.
    tar.args(["--extract", "--no-same-owner", "--keep-directory-symlink"])
        .arg("--directory")
        .arg(folder);
    by_tar(tar, package)
}

fn by_tar(mut tar: Command, package: &Path) -> Result<(), ArchiveError> {
    let mut reader = Command::new("dpkg-deb");
    reader
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped());
    let mut child = process::start(&mut reader)?;
    tar.stdin(child.stdout.take().map_or_else(Stdio::null, Stdio::from));
    let limit = Duration::from_secs(300);
    let unpacked = process::run(&mut tar, limit);
    // Once tar has ended, dpkg-deb's pipe is closed, so it ends too.
    let status = child.wait();
    unpacked?;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let (command, stderr) = (process::shell_line(&reader), String::new());
            Err(ProcessError::Failed {
                command,
                status,
                stderr,
            }
            .into())
        }
        Err(source) => Err(ProcessError::Start {
            command: process::shell_line(&reader),
            source,
        }
        .into()),
    }
}
