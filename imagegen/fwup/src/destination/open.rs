// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens a destination. Refuses files that are neither an image nor a disk, and disks in use.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::lock::{LockError, lock};
use super::segment::BLOCK;
use super::storage::DiskFile;
use crate::links;

/// The folder with the device files.
const DEV: &str = "/dev";

/// Why a destination cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The path is in `/dev` and does not exist.
    #[error(
        "cannot open {0}: it does not exist, and no image is created in /dev; check its name, and whether it is plugged in"
    )]
    NoDevice(String),
    /// The file is neither a regular file nor a block device.
    #[error("cannot write to {path}: it is {kind}, expected an image file or a block device")]
    Kind {
        /// The destination.
        path: String,
        /// The kind of the file.
        kind: &'static str,
    },
    /// The block device is in use.
    #[error(
        "cannot write to {0}: it is in use. Unmount it and its partitions, and remove it from swap, RAID and LVM. To upgrade the system that runs from it, use fwup -U"
    )]
    InUse(String),
    /// Another process writes to it.
    #[error(
        "cannot write to {path}: another program is writing to it ({}). Wait until it has finished, or end it, and try again",
        holder.as_deref().unwrap_or("it is not known which")
    )]
    Locked {
        /// The destination.
        path: String,
        /// The program and its process number, if known.
        holder: Option<String>,
    },
    /// The file has no write permission, although root could write to it.
    #[error("cannot write to {0}: the file is read-only; to write to it, run chmod +w on it")]
    ReadOnly(String),
    /// The file is a qcow2 image, whose header and tables would be overwritten.
    #[error(
        "cannot write to {0}: it is a qcow2 image, which is not the disk itself. Use imagegen apply, or make a raw image of it first: qemu-img convert -O raw"
    )]
    Qcow2(String),
    /// The system reports an error.
    #[error("cannot open {path} for writing: {error}")]
    Io {
        /// The destination.
        path: String,
        /// The system's error.
        error: io::Error,
    },
}

impl DiskFile {
    /// Opens a file or a block device for reading and writing, and locks it; a missing file is
    /// created. A block device is opened exclusively: Linux refuses this while the device or one
    /// of its partitions is mounted.
    ///
    /// # Errors
    ///
    /// Every [`DestinationError`].
    pub fn open(path: &Path) -> Result<Self, DestinationError> {
        Self::open_outside(path, Path::new(DEV), OFlags::EXCL)
    }

    /// Like [`DiskFile::open`], but also opens a block device that is in use, so that a system can
    /// upgrade the disk that it runs from.
    ///
    /// # Errors
    ///
    /// Every [`DestinationError`].
    pub fn open_shared(path: &Path) -> Result<Self, DestinationError> {
        Self::open_outside(path, Path::new(DEV), OFlags::empty())
    }

    /// Opens a device with these flags. Does not create a file in the folder `dev`.
    fn open_outside(path: &Path, dev: &Path, flags: OFlags) -> Result<Self, DestinationError> {
        let name = || path.display().to_string();
        let unopened = |error: io::Error| DestinationError::Io {
            path: name(),
            error,
        };
        let mut is_direct = false;
        let mut file = match fs::metadata(path) {
            // As in fwup: a task that only writes elsewhere needs no destination.
            Ok(found) if is_null_device(&found) => {
                let opened = OpenOptions::new().read(true).write(true).open(path);
                return Ok(Self {
                    file: opened.map_err(unopened)?,
                    length: 0,
                    is_regular: true,
                    is_direct,
                    is_null: true,
                });
            }
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
        if !file.metadata().map_err(unopened)?.is_file() {
            is_direct = make_direct(&file);
        }
        // The file may have been replaced in between.
        let kind = file.metadata().map_err(unopened)?.file_type();
        if !kind.is_block_device() {
            refuse(path, kind)?;
        }
        if kind.is_file() && is_qcow2(&file).map_err(unopened)? {
            return Err(DestinationError::Qcow2(name()));
        }
        lock(&file, kind.is_file()).map_err(|error| match error {
            LockError::Held(holder) => DestinationError::Locked {
                path: name(),
                holder,
            },
            LockError::Io(error) => unopened(error),
        })?;
        let length = file.seek(SeekFrom::End(0)).map_err(unopened)?;
        Ok(Self {
            file,
            length,
            is_regular: kind.is_file(),
            is_direct,
            is_null: false,
        })
    }

    /// Whether the destination is an image file rather than a block device.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.is_regular
    }
}

/// Returns whether a file begins as qcow2 images do (QEMU, `docs/interop/qcow2.txt`, "Header").
///
/// # Errors
///
/// When the file cannot be read.
pub fn is_qcow2(file: &File) -> io::Result<bool> {
    const MAGIC: [u8; 4] = *b"QFI\xfb";
    let mut start = [0; 4];
    match file.read_exact_at(&mut start, 0) {
        Ok(()) => Ok(start == MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a file is the null device (Linux, `Documentation/admin-guide/devices.txt`: 1 char, 3).
fn is_null_device(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == rustix::fs::makedev(1, 3)
}

/// Opens a block device, exclusively if `flags` has `O_EXCL`, which Linux allows without `O_CREAT`.
fn open_device(path: &Path, flags: OFlags) -> Result<File, Errno> {
    let flags = flags | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Makes reads and writes bypass the system's cache. Returns false if that is not possible: the
/// system does not support it, or the device's sectors are larger than the blocks that are written.
pub(super) fn make_direct(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    if rustix::fs::ioctl_blksszget(file).is_ok_and(|size| size as usize == BLOCK) {
        let flags = rustix::fs::fcntl_getfl(file);
        return flags
            .and_then(|flags| rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT))
            .is_ok();
    }
    false
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
        "not a file"
    };
    Err(DestinationError::Kind {
        path: path.display().to_string(),
        kind,
    })
}

/// Whether a file created at `path`, through any symbolic links, would be below `folder`.
fn is_in(path: &Path, folder: &Path) -> bool {
    let target = links::target(path).unwrap_or_else(|| path.to_path_buf());
    let created_in = links::folder(&target);
    created_in
        .canonicalize()
        .unwrap_or(created_in)
        .starts_with(folder)
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
    fn the_null_device_forgets_all_data() {
        use crate::destination::{Device, Storage};

        let mut device = Device::new(DiskFile::open(Path::new("/dev/null")).unwrap());
        // Whole segments are not cached.
        let segment = crate::destination::SEGMENT;
        device.write(segment, &vec![7; segment as usize]).unwrap();
        device.write_ordered(0, &[7; 512]).unwrap();
        device.finish().unwrap();
        let mut found = [1; 1024];
        device.read(segment, &mut found).unwrap();
        assert!(found == [0; 1024]);
        assert!(device.into_storage().grows());
    }

    #[test]
    fn a_missing_image_is_created_and_a_missing_device_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let image = DiskFile::open(&at("disk.img")).unwrap();
        assert!(image.is_regular() && image.length == 0);
        let typo = Path::new("/dev/little-loader-typo");
        assert!(
            refused(typo).starts_with("cannot open /dev/little-loader-typo: it does not exist")
        );
        assert!(!typo.exists());

        // A folder in place of /dev, reached by different paths.
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
    fn a_qcow2_image_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.qcow2");
        let header = b"QFI\xfb\0\0\0\x03 and the rest";
        fs::write(&path, header).unwrap();
        let error = refused(&path);
        assert!(
            error.contains("it is a qcow2 image") && error.contains("imagegen apply"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), header);
        // A shorter file, which has the same beginning, is not one.
        fs::write(&path, b"QFI").unwrap();
        DiskFile::open(&path).unwrap();
    }

    #[test]
    fn files_without_blocks_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(
            refused(folder.path())
                .ends_with(": it is a directory, expected an image file or a block device")
        );
        assert_eq!(
            refused(Path::new("/dev/zero")),
            "cannot write to /dev/zero: it is a character device, expected an image file or a block device"
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
