// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opening a destination: what is no disk and no image is refused, and a disk that is in use.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::DiskFile;

/// The folder of the devices.
const DEV: &str = "/dev";
/// How many links in a row are followed, as Linux does.
const LINKS: usize = 40;

/// Why a destination cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// A device that does not exist.
    #[error(
        "cannot open {0}: it does not exist, and no file is made among the devices; look at its name, and whether it is plugged in"
    )]
    NoDevice(String),
    /// Something that has no blocks.
    #[error("cannot write to {path}: it is {kind}, expected an image file or a block device")]
    Kind {
        /// The destination.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A block device that somebody has.
    #[error(
        "cannot write to {0}: it is in use. Unmount what is mounted of it, and take it out of swap, RAID and LVM. Where the system that runs from it is upgraded, imagegen fwup -U writes to it as it is"
    )]
    InUse(String),
    /// A file that nobody may write to, which root could do nevertheless.
    #[error("cannot write to {0}: the file is read-only; chmod +w it when that is no mistake")]
    ReadOnly(String),
    /// The system refused.
    #[error("cannot open {path} for writing: {error}")]
    Io {
        /// The destination.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

impl DiskFile {
    /// Opens a file or a block device for reading and writing; a missing file is made. A block device is ours alone from
    /// then on: Linux refuses it while it or a part of it is mounted.
    ///
    /// # Errors
    ///
    /// Every [`DestinationError`].
    pub fn open(path: &Path) -> Result<Self, DestinationError> {
        Self::open_outside(path, Path::new(DEV), OFlags::EXCL)
    }

    /// Opens it like [`DiskFile::open`], but a block device also while others have it: a system upgrades the disk that it
    /// runs from.
    ///
    /// # Errors
    ///
    /// Every [`DestinationError`].
    pub fn open_shared(path: &Path) -> Result<Self, DestinationError> {
        Self::open_outside(path, Path::new(DEV), OFlags::empty())
    }

    /// Opens it, a device with these flags, but makes no file in the folder `dev`.
    fn open_outside(path: &Path, dev: &Path, flags: OFlags) -> Result<Self, DestinationError> {
        let name = || path.display().to_string();
        let unopened = |error: io::Error| DestinationError::Io {
            path: name(),
            error,
        };
        let mut file = match fs::metadata(path) {
            Ok(found) if found.file_type().is_block_device() => {
                open_device(path, flags).map_err(|error| match error {
                    Errno::BUSY => DestinationError::InUse(name()),
                    error => unopened(error.into()),
                })?
            }
            Ok(found) => {
                refuse(path, found.file_type())?;
                if found.permissions().mode() & 0o222 == 0 {
                    return Err(DestinationError::ReadOnly(name()));
                }
                let mut options = OpenOptions::new();
                options
                    .read(true)
                    .write(true)
                    .open(path)
                    .map_err(unopened)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if is_in(path, dev) {
                    return Err(DestinationError::NoDevice(name()));
                }
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(false);
                options.open(path).map_err(unopened)?
            }
            Err(error) => return Err(unopened(error)),
        };
        // What was looked at may have been replaced since.
        let kind = file.metadata().map_err(unopened)?.file_type();
        if !kind.is_block_device() {
            refuse(path, kind)?;
        }
        let length = file.seek(SeekFrom::End(0)).map_err(unopened)?;
        Ok(Self {
            file,
            length,
            is_regular: kind.is_file(),
        })
    }

    /// Whether it is an image file, and no device.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.is_regular
    }
}

/// `O_EXCL` without `O_CREAT` is Linux's way to say that nobody else may have the device.
fn open_device(path: &Path, flags: OFlags) -> Result<File, Errno> {
    let flags = flags | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn refuse(path: &Path, kind: FileType) -> Result<(), DestinationError> {
    let kind = if kind.is_dir() {
        "a directory"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_file() {
        return Ok(());
    } else {
        "no file"
    };
    Err(DestinationError::Kind {
        path: path.display().to_string(),
        kind,
    })
}

/// Whether a file of this path would be made somewhere below a folder, through links as well.
fn is_in(path: &Path, folder: &Path) -> bool {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = parent(&path).join(target),
            Err(_) => break,
        }
    }
    let made_in = parent(&path);
    made_in
        .canonicalize()
        .unwrap_or(made_in)
        .starts_with(folder)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) => PathBuf::from("."),
        None => PathBuf::from("/"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[track_caller]
    fn refused(path: &Path) -> String {
        DiskFile::open(path).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_image_is_made_and_a_missing_device_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let image = DiskFile::open(&at("disk.img")).unwrap();
        assert!(image.is_regular() && image.length == 0);
        let typo = Path::new("/dev/little-loader-typo");
        assert!(
            refused(typo).starts_with("cannot open /dev/little-loader-typo: it does not exist")
        );
        assert!(!typo.exists());

        // The same in a folder that stands for /dev, reached in other ways.
        let dev = at("dev").join("disk");
        fs::create_dir_all(&dev).unwrap();
        symlink(&dev, at("link")).unwrap();
        symlink("dev/disk/gone", at("card")).unwrap();
        let dev = at("dev").canonicalize().unwrap();
        for path in ["dev/sdx", "dev/disk/../sdx", "link/sdx", "card"] {
            let error = DiskFile::open_outside(&at(path), &dev, OFlags::EXCL).unwrap_err();
            assert!(matches!(error, DestinationError::NoDevice(_)), "{path}");
            assert!(!at(path).exists(), "{path}");
        }
        symlink("made.img", at("image")).unwrap();
        DiskFile::open_outside(&at("image"), &dev, OFlags::EXCL).unwrap();
        assert!(at("made.img").exists());
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(
            refused(folder.path())
                .ends_with(": it is a directory, expected an image file or a block device")
        );
        assert_eq!(
            refused(Path::new("/dev/null")),
            "cannot write to /dev/null: it is a character device, expected an image file or a block device"
        );
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        assert!(refused(&at("pipe")).contains("it is a pipe"));
        assert!(refused(&at("no/such/folder/disk.img")).contains("for writing: No such file"));
        fs::write(at("image"), "").unwrap();
        fs::set_permissions(at("image"), PermissionsExt::from_mode(0o444)).unwrap();
        assert!(refused(&at("image")).contains("the file is read-only"));
    }
}
