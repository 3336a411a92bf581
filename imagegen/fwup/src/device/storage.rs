// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a device stands on.

use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

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

    /// Lets the next reads of these bytes come from the disk, as far as the system can do that.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn uncache(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    /// Tells the disk that what these bytes hold does not matter.
    ///
    /// # Errors
    ///
    /// Those of the system, also where a disk has no way to be told.
    fn discard(&mut self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A page of memory is at most as large on every system that Linux runs on, in bytes.
#[cfg(target_os = "linux")]
const PAGE: u64 = 64 << 10;

/// An image file, which grows, or a block device, which does not.
#[derive(Debug)]
pub struct DiskFile {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) is_regular: bool,
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
    #[cfg(target_os = "linux")]
    fn uncache(&mut self, offset: u64, length: u64) -> io::Result<()> {
        // Only what is on the disk already can be dropped from the cache, and only whole pages of it.
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
        // A block device discards what a hole is punched into; what is there are zeroes afterwards.
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, flags, offset, length)?)
    }
}
