// SPDX-License-Identifier: MIT OR Apache-2.0

//! Deflates the data of an entry before it is known whether the entry gets it.

use std::io::{self, Write};

use tempfile::SpooledTempFile;

use super::deflate::{Deflater, Level};

/// The number of bytes kept in memory; more go to a temporary file.
const IN_MEMORY: usize = 4 << 20;

/// The data of an entry, deflated.
pub(crate) struct Packed {
    pub(super) file: SpooledTempFile,
    pub(super) crc: u32,
    /// The length before deflating in bytes.
    pub(crate) size: u64,
    /// The length in an archive in bytes.
    pub(crate) length: u64,
}

/// Deflates what is written to it.
pub(crate) struct Packer {
    deflater: Deflater,
    file: SpooledTempFile,
    crc: crc32fast::Hasher,
    size: u64,
    length: u64,
}

impl Packer {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            deflater: Deflater::new(level),
            file: SpooledTempFile::new(IN_MEMORY),
            crc: crc32fast::Hasher::new(),
            size: 0,
            length: 0,
        }
    }

    /// Ends the data.
    ///
    /// # Errors
    ///
    /// When the temporary file cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<Packed> {
        let (file, length) = (&mut self.file, &mut self.length);
        self.deflater.finish(&mut |bytes| {
            *length += bytes.len() as u64;
            file.write_all(bytes)
        })?;
        Ok(Packed {
            file: self.file,
            crc: self.crc.finalize(),
            size: self.size,
            length: self.length,
        })
    }
}

impl Write for Packer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.crc.update(data);
        self.size += data.len() as u64;
        let (file, length) = (&mut self.file, &mut self.length);
        self.deflater.write(data, &mut |bytes| {
            *length += bytes.len() as u64;
            file.write_all(bytes)
        })?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
