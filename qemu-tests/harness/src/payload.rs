// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test payload as an Image, with changes: longer, or invalid on purpose.

use std::fs;
use std::io;
use std::path::Path;

/// Offsets in the Image header (Linux, Documentation/arch/arm64/booting.rst, section 4).
const TEXT_OFFSET: usize = 8;
const IMAGE_SIZE: usize = 16;
const FLAGS: usize = 24;
/// The first reserved field: the number of bytes appended to the payload, which reads it.
const APPENDED: usize = 32;

/// A payload to put on a disk.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    /// Reads a built payload.
    ///
    /// # Errors
    /// When the file cannot be read, or is too short for an Image header.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        if bytes.len() < 64 {
            let text = format!(
                "{} has {} bytes, fewer than an Image header",
                path.display(),
                bytes.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { bytes })
    }

    /// Appends `length` bytes of [`pattern`], in which no two neighbouring blocks are equal. The
    /// payload reports their CRC-32 in memory.
    #[must_use]
    pub fn append(mut self, length: usize) -> Self {
        let image_size = (self.bytes.len() + length) as u64;
        self.bytes.extend(pattern(length));
        self.put(APPENDED, length as u64)
            .put(IMAGE_SIZE, image_size)
    }

    /// Sets the header's image_size: the memory that the kernel needs, in bytes.
    #[must_use]
    pub fn image_size(self, bytes: u64) -> Self {
        self.put(IMAGE_SIZE, bytes)
    }

    /// Sets the header's text_offset, in bytes.
    #[must_use]
    pub fn text_offset(self, bytes: u64) -> Self {
        self.put(TEXT_OFFSET, bytes)
    }

    /// Sets the header's flags: bit 0 big-endian, bits 1 and 2 the page size, bit 3 anywhere in
    /// memory.
    #[must_use]
    pub fn flags(self, flags: u64) -> Self {
        self.put(FLAGS, flags)
    }

    /// Returns the bytes of the Image.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn put(mut self, offset: usize, value: u64) -> Self {
        self.bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self
    }
}

/// Returns `length` bytes with a very long period: a block that is read twice, omitted or swapped
/// changes their checksum.
#[must_use]
pub fn pattern(length: usize) -> Vec<u8> {
    // Marsaglia's xorshift, 64 bits.
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_tells_the_header() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [0; 512]).unwrap();
        let payload = Payload::read(file.path())
            .unwrap()
            .append(1000)
            .flags(0b1010);
        let field = |offset: usize| {
            u64::from_le_bytes(payload.bytes()[offset..offset + 8].try_into().unwrap())
        };
        assert_eq!((field(16), field(24), field(32)), (1512, 10, 1000));
        assert_eq!(payload.bytes().len(), 1512);
        fs::write(file.path(), [0; 63]).unwrap();
        Payload::read(file.path()).unwrap_err();
    }
}
