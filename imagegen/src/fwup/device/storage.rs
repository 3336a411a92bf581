// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device stands on.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Something to write to.
pub trait Storage {
    /// Reads; returns how many bytes there were, fewer only at the end.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// The size in bytes.
    fn length(&self) -> u64;

    /// Whether it may become larger.
    fn grows(&self) -> bool;

    /// Makes it larger; what is new are zeroes.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn grow(&mut self, length: u64) -> io::Result<()>;

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn sync(&mut self) -> io::Result<()>;
}

/// An image file, which grows, or a block device, which does not.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    length: u64,
    is_regular: bool,
}

impl DiskFile {
    /// Opens a file for reading and writing; a missing one is made.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let is_regular = file.metadata()?.is_file();
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            length,
            is_regular,
        })
    }
}

impl Storage for DiskFile {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self
                .file
                .read_at(&mut out[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)?;
        self.length = self.length.max(offset + data.len() as u64);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn grows(&self) -> bool {
        self.is_regular
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
