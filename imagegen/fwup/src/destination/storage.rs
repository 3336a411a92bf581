// SPDX-License-Identifier: MIT OR Apache-2.0

//! Access to the medium without a cache.

use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

/// A medium: a file, a block device, or memory in tests.
///
/// A [`Device`](super::Device) reads and writes whole blocks of 512 bytes at offsets that are
/// multiples of 512, in memory that starts at a page boundary, as direct I/O requires. The last
/// block is shorter on a medium whose size is not a multiple of 512.
pub trait Storage {
    /// Reads bytes, and returns their number, which is less than `out.len()` only at the end.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Returns the size in bytes.
    fn length(&self) -> u64;

    /// Whether the medium can grow.
    fn grows(&self) -> bool;

    /// Extends the medium with zeroes to `length` bytes.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    fn grow(&mut self, length: u64) -> io::Result<()>;

    /// Waits until all written data is on the medium.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    fn sync(&mut self) -> io::Result<()>;

    /// Starts to write these bytes from the system's cache to the medium, so that
    /// [`sync`](Self::sync) has less to wait for.
    fn start_writeback(&mut self, _offset: u64, _length: u64) {}

    /// Drops these bytes from the system's cache as far as possible, so that the next read is from
    /// the medium.
    ///
    /// # Errors
    ///
    /// I/O errors of the system.
    fn uncache(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    /// Discards the contents of these bytes.
    ///
    /// # Errors
    ///
    /// I/O errors of the system, or an error if the medium cannot discard.
    fn discard(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The largest page size that Linux uses, in bytes.
#[cfg(target_os = "linux")]
const PAGE: u64 = 64 << 10;

/// An image file, which grows, or a block device, whose size is fixed.
#[derive(Debug)]
pub struct DiskFile {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) is_regular: bool,
    /// Whether reads and writes bypass the system's cache.
    pub(super) is_direct: bool,
    /// Whether it is `/dev/null`, which forgets all data.
    pub(super) is_null: bool,
}

impl Storage for DiskFile {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        // Reading on at the end would be with memory that is not aligned.
        while filled < out.len() && offset + (filled as u64) < self.length {
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
        if !self.is_null {
            self.file.set_len(length)?;
        }
        self.length = length;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.is_null {
            true => Ok(()),
            false => self.file.sync_data(),
        }
    }

    #[cfg(target_os = "linux")]
    fn start_writeback(&mut self, offset: u64, length: u64) {
        if !self.is_direct && !self.is_null {
            system_calls::start_writeback(&self.file, offset, length);
        }
    }

    #[cfg(target_os = "linux")]
    fn uncache(&mut self, offset: u64, length: u64) -> io::Result<()> {
        if self.is_direct || self.is_null {
            return Ok(());
        }
        // Linux drops only clean pages.
        self.file.sync_data()?;
        let start = offset - offset % PAGE;
        let end = (offset + length).next_multiple_of(PAGE);
        rustix::fs::fadvise(
            &self.file,
            start,
            NonZeroU64::new(end - start),
            rustix::fs::Advice::DontNeed,
        )?;
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        // Punching a hole into a block device makes Linux discard that part, which then reads as
        // zeroes.
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, flags, offset, length)?)
    }
}
