// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Write};

/// The number of zeroes written at once.
const ZEROES: [u8; 4096] = [0; 4096];

/// Writes data with holes to an output that cannot seek: the holes become zeroes.
pub(super) struct Sequential<W> {
    out: W,
    position: u64,
}

impl<W: Write> Sequential<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, position: 0 }
    }

    pub(super) fn get_ref(&self) -> &W {
        &self.out
    }

    /// Writes data at an offset that is not before the end of the data so far.
    pub(super) fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fill(offset)?;
        self.out.write_all(data)?;
        self.position += data.len() as u64;
        Ok(())
    }

    /// Writes zeroes up to an offset.
    pub(super) fn fill(&mut self, end: u64) -> io::Result<()> {
        while self.position < end {
            // At most 4096.
            let length = (end - self.position).min(ZEROES.len() as u64) as usize;
            self.out.write_all(&ZEROES[..length])?;
            self.position += length as u64;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_become_zeroes() {
        let mut bytes = Vec::new();
        let mut out = Sequential::new(&mut bytes);
        out.write_at(5000, b"ab").unwrap();
        out.write_at(5002, b"c").unwrap();
        out.write_at(5004, b"d").unwrap();
        out.fill(10_000).unwrap();
        out.fill(10_000).unwrap();
        assert_eq!(bytes.len(), 10_000);
        assert_eq!(bytes[4999..5006], *b"\0abc\0d\0");
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 4);
    }
}
