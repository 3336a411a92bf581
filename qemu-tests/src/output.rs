// SPDX-License-Identifier: MIT OR Apache-2.0

//! Atomic writes of files.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes `bytes` to a temporary file next to `path` and renames it; creates the folder if it is
/// missing.
///
/// # Errors
/// The file system's error; `path` is then unchanged.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    readable_by_all(&file)?;
    file.persist(path)?;
    Ok(())
}

/// Temporary files are private; a build product should not be.
fn readable_by_all(file: &NamedTempFile) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file()
            .set_permissions(Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/file");
        write_whole(&path, b"old").unwrap();
        // A folder cannot be replaced by a file, so the rename at the end fails.
        let blocked = folder.path().join("sub/blocked");
        fs::create_dir_all(blocked.join("full")).unwrap();
        write_whole(&blocked, b"new").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(
            fs::read_dir(folder.path().join("sub")).unwrap().count(),
            2,
            "no temporary file stays behind"
        );
    }
}
