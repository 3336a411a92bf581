// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Read, Seek, SeekFrom};

/// The data that a delta starts from: a file, or a range of a disk.
///
/// The decoder reads whole blocks: `offset` is a multiple of [`BLOCK_LENGTH`](super::BLOCK_LENGTH),
/// and so is the end of `out`, except at the end of the source. A source that decrypts sectors
/// needs no other alignment.
pub trait Source {
    /// The length in bytes.
    fn length(&self) -> u64;

    /// Reads the bytes from `offset` until `out` is full.
    ///
    /// # Errors
    ///
    /// When the data cannot be read.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl<S: Source + ?Sized> Source for &mut S {
    fn length(&self) -> u64 {
        (**self).length()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, out)
    }
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let rest = start.and_then(|start| self.get(start..));
        let found = rest.and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file or a disk as a source.
#[derive(Debug)]
pub struct SeekableSource<F> {
    file: F,
    length: u64,
}

impl<F: Read + Seek> SeekableSource<F> {
    /// A source of the file's whole length.
    ///
    /// # Errors
    ///
    /// When the length cannot be found.
    pub fn new(mut file: F) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, length })
    }
}

impl<F: Read + Seek> Source for SeekableSource<F> {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(out)
    }
}
