// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fwup::destination::{Storage, is_qcow2};

use super::error::ImageError;
use super::qcow2::Qcow2Disk;
use super::raw::RawDisk;

/// The format of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The blocks of the disk, one after the other; also a block device.
    Raw,
    /// QEMU's format with clusters allocated on demand and, optionally, a backing file.
    Qcow2,
}

/// An open image.
pub struct Image {
    disk: Box<dyn Storage + Send>,
    path: PathBuf,
    format: Format,
}

impl Image {
    /// Opens an image of either format: a file that starts with the magic number of qcow2 is one.
    /// If `is_writable`, the image is locked until it is dropped.
    ///
    /// # Errors
    ///
    /// When the file or its backing file cannot be opened, or a QEMU uses it: for reading, an image
    /// that QEMU writes is refused only in the qcow2 format, where the file is incomplete until
    /// QEMU ends.
    pub fn open(path: &Path, is_writable: bool) -> Result<Self, ImageError> {
        let failed = |error| ImageError::Open {
            path: path.to_owned(),
            error,
        };
        let in_use = || Err(ImageError::InUse(path.to_owned()));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(is_writable);
        let file = options.open(path).map_err(failed)?;
        if is_writable && !lock(&file).map_err(failed)? {
            return in_use();
        }
        let format = Format::of(&file).map_err(failed)?;
        let disk: Box<dyn Storage + Send> = match format {
            Format::Raw => Box::new(RawDisk::new(file).map_err(failed)?),
            Format::Qcow2 if !is_writable && is_written(&file) => return in_use(),
            Format::Qcow2 => {
                let disk = Qcow2Disk::open(file, path, is_writable);
                Box::new(disk.map_err(|error| ImageError::Qcow2 {
                    path: path.to_owned(),
                    error,
                })?)
            }
        };
        Ok(Self {
            disk,
            path: path.to_owned(),
            format,
        })
    }

    /// Wraps any storage, for example memory in tests. `path` is its name in messages.
    #[must_use]
    pub fn from_storage(storage: impl Storage + Send + 'static, path: &Path) -> Self {
        Self {
            disk: Box::new(storage),
            path: path.to_owned(),
            format: Format::Raw,
        }
    }

    /// Returns the image's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the image's format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reads bytes until `out` is full.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] at the end of the disk, and I/O errors of the system.
    pub fn read_exact_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.disk.read_at(offset, out)? {
            length if length == out.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Format {
    /// Returns the format of a file according to its first bytes.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(if is_qcow2(file)? {
            Self::Qcow2
        } else {
            Self::Raw
        })
    }

    /// Returns QEMU's name of the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

#[cfg(target_os = "linux")]
fn lock(file: &File) -> io::Result<bool> {
    system_calls::lock_image(file)
}

#[cfg(target_os = "linux")]
fn is_written(file: &File) -> bool {
    system_calls::is_image_written(file)
}

#[cfg(not(target_os = "linux"))]
fn lock(_file: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn is_written(_file: &File) -> bool {
    false
}

impl Storage for Image {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(offset, out)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write_at(offset, data)
    }

    fn length(&self) -> u64 {
        self.disk.length()
    }

    fn grows(&self) -> bool {
        self.disk.grows()
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        self.disk.grow(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
