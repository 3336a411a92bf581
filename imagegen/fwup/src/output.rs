// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sparse output files that appear complete or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::links;

/// The granularity of holes in bytes: the usual block size of file systems.
const HOLE: usize = 4096;

/// A file that is written next to its final path and moved there when it is complete. If it is
/// dropped earlier, nothing is left.
#[derive(Debug)]
pub struct Output {
    file: NamedTempFile,
    path: PathBuf,
}

impl Output {
    /// Starts a file for `path`. An existing file is replaced only when the new one is finished,
    /// and its mode is kept. Symbolic links are followed, even dangling ones, and are kept.
    ///
    /// # Errors
    ///
    /// When no file can be created in the folder, `path` exists but is not a regular file (a
    /// device, for example), or its symbolic links form a loop.
    pub fn create(path: &Path) -> io::Result<Self> {
        let (path, permissions) = match fs::metadata(path) {
            Ok(found) if found.is_file() => (path.canonicalize()?, found.permissions()),
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} is not a regular file", path.display()),
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let target = links::target(path).ok_or(error)?;
                (target, Permissions::from_mode(0o644))
            }
            Err(error) => return Err(error),
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".fwup-")
            .permissions(permissions)
            .tempfile_in(folder)?;
        Ok(Self { file, path })
    }

    /// Sets the length in bytes. Parts that are not written are holes.
    ///
    /// # Errors
    ///
    /// I/O errors of the file system.
    pub fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.file.as_file().set_len(length)
    }

    /// Writes bytes at an offset where nothing was written before. Zeroes become holes.
    ///
    /// # Errors
    ///
    /// I/O errors of the file system.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (number, piece) in bytes.chunks(HOLE).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                let at = offset + (number * HOLE) as u64;
                self.file.as_file().write_all_at(piece, at)?;
            }
        }
        Ok(())
    }

    /// Writes all bytes at the start.
    ///
    /// # Errors
    ///
    /// I/O errors of the file system.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)
    }

    /// Moves the file to its path.
    ///
    /// # Errors
    ///
    /// I/O errors of the file system. The file is then removed.
    pub fn finish(self) -> io::Result<File> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.path).map_err(|error| error.error)
    }
}

/// Writes at the current position.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_appears_whole_and_sparse() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut output = Output::create(&path).unwrap();
        output.set_length(8 << 20).unwrap();
        let mut bytes = vec![0; 2 << 20];
        bytes[1 << 20] = 1;
        output.write_at(1 << 20, &bytes).unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 8 << 20);
        assert!(metadata.blocks() * 512 < 1 << 20);
        assert_eq!(fs::read(&path).unwrap()[2 << 20], 1);
    }

    #[test]
    fn modes_and_links_are_kept_and_devices_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("elf"), folder.path().join("link"));
        fs::write(&path, "before").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        symlink("elf", &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write_all(b"after").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let error = Output::create(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/null is not a regular file");
    }

    #[test]
    fn a_dangling_link_is_followed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("images")).unwrap();
        symlink("images/second", at("first")).unwrap();
        symlink("../disk.img", at("images/second")).unwrap();

        // An output that is dropped before it is finished leaves only the links.
        drop(Output::create(&at("first")).unwrap());
        assert!(!at("disk.img").exists());

        let mut output = Output::create(&at("first")).unwrap();
        output.write_all(b"image").unwrap();
        output.finish().unwrap();
        assert_eq!(
            fs::read_link(at("first")).unwrap(),
            Path::new("images/second")
        );
        assert_eq!(
            fs::read_link(at("images/second")).unwrap(),
            Path::new("../disk.img")
        );
        assert!(fs::symlink_metadata(at("disk.img")).unwrap().is_file());
        assert_eq!(fs::read(at("first")).unwrap(), b"image");
    }

    #[test]
    fn links_that_lead_nowhere_are_refused_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, target) in [
            ("loop", "loop"),
            ("circle", "back"),
            ("back", "circle"),
            ("nowhere", "missing/disk.img"),
            ("folder", "."),
        ] {
            symlink(target, at(name)).unwrap();
        }
        for name in ["loop", "circle", "nowhere", "folder"] {
            Output::create(&at(name)).unwrap_err();
            assert!(fs::symlink_metadata(at(name)).unwrap().is_symlink());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        fs::write(&path, "before").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
