// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file with the parameter for the next boot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files that programs read, in the order in which fwup tries them: that of systemd exists only
/// where systemd runs.
pub(super) const USUAL: [&str; 2] = ["/run/systemd/reboot-param", "/run/reboot-param"];

/// Writes the parameter to the first of these files that can be written, and returns that file.
///
/// # Errors
///
/// The error of the last file.
pub(super) fn write(paths: &[PathBuf], parameter: &str) -> io::Result<PathBuf> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for path in paths {
        result = match fs::write(path, parameter) {
            Ok(()) => return Ok(path.clone()),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", path.display()),
            )),
        };
    }
    result
}

/// Removes the file after a failed task. A link, a pipe or a device, such as /dev/stdout, is kept.
pub(super) fn take_back(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        // The task's error is the one to report.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_that_can_be_written_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let paths = [at("systemd/reboot-param"), at("reboot-param")];
        assert_eq!(write(&paths, "a").unwrap(), paths[1]);
        fs::create_dir(at("systemd")).unwrap();
        assert_eq!(write(&paths, "b").unwrap(), paths[0]);
        assert_eq!(fs::read(&paths[0]).unwrap(), b"b");
        assert_eq!(fs::read(&paths[1]).unwrap(), b"a");
        let error = write(&[at("gone/a"), at("gone/b")], "c").unwrap_err();
        assert!(error.to_string().contains("gone/b: No such file"));
        take_back(&paths[0]);
        assert!(!paths[0].exists());
    }
}
