// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes an archive from front to back, so that it can be written to a pipe: an entry's checksum
//! and compressed size follow its data.
//!
//! Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.9 (data descriptor), 4.3.12
//! (central directory), 4.5.3 (ZIP64).

use std::io::{self, Seek, Write};

use super::date::{self, NO_DATE};
use super::deflate::Deflater;
pub use super::deflate::Level;
use super::packed::Packed;
use super::zip::{
    DEFLATED, DESCRIPTOR, DIRECTORY_END, DIRECTORY_END_64, DIRECTORY_ENTRY, DIRECTORY_LOCATOR_64,
    IS_64, LOCAL_HEADER, SIZES_FOLLOW, STORED, TIME, ZIP64,
};

/// The archive is made on Unix and needs version 2.0 of the format; 64-bit sizes need version 4.5.
const UNIX: u16 = 3 << 8;
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// The mode of a regular file, rw-r--r--.
const MODE: u32 = 0o100_644 << 16;

/// A ZIP archive that is being written.
pub struct Writer<W: Write> {
    out: W,
    deflater: Deflater,
    offset: u64,
    directory: Vec<u8>,
    entries: u64,
}

/// The part of an entry's header that is known before its data.
#[derive(Clone, Copy, Debug)]
struct NewEntry<'a> {
    name: &'a str,
    /// Seconds since 1970.
    time: Option<u32>,
    size: u64,
    is_deflated: bool,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(out: W, level: Level) -> Self {
        Self {
            out,
            deflater: Deflater::new(level),
            offset: 0,
            directory: Vec::new(),
            entries: 0,
        }
    }

    /// Adds an entry of `size` bytes. `data` passes them to its argument, piece by piece. `time` is
    /// the time of modification in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the output cannot be written, and errors of `data`, which must pass exactly `size`
    /// bytes.
    pub fn entry<E: From<io::Error>>(
        &mut self,
        name: &str,
        time: Option<u32>,
        size: u64,
        data: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E>,
    ) -> Result<(), E> {
        let entry = NewEntry {
            name,
            time,
            size,
            is_deflated: true,
        };
        let start = self.offset;
        let header = entry.header();
        self.put(&header)?;
        let mut crc = crc32fast::Hasher::new();
        let before = self.offset;
        let Self {
            out,
            deflater,
            offset,
            ..
        } = self;
        let mut put = |bytes: &[u8]| {
            *offset += bytes.len() as u64;
            out.write_all(bytes)
        };
        data(&mut |piece| {
            crc.update(piece);
            Ok(deflater.write(piece, &mut put)?)
        })?;
        deflater.finish(&mut put)?;
        let packed = self.offset - before;
        Ok(self.end_entry(entry, crc.finalize(), packed, start)?)
    }

    /// Adds an entry without a time whose data was deflated before.
    ///
    /// # Errors
    ///
    /// When the output cannot be written, or the packed data cannot be read.
    pub(crate) fn packed(&mut self, name: &str, packed: Packed) -> io::Result<()> {
        let entry = NewEntry {
            name,
            time: None,
            size: packed.size,
            is_deflated: true,
        };
        let start = self.offset;
        self.put(&entry.header())?;
        let Packed {
            mut file,
            crc,
            length,
            ..
        } = packed;
        file.rewind()?;
        if io::copy(&mut file, &mut self.out)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += length;
        self.end_entry(entry, crc, length, start)
    }

    /// Adds an entry that is not compressed and has no time.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub fn stored(&mut self, name: &str, data: &[u8]) -> io::Result<()> {
        let size = data.len() as u64;
        let entry = NewEntry {
            name,
            time: None,
            size,
            is_deflated: false,
        };
        let start = self.offset;
        self.put(&entry.header())?;
        self.put(data)?;
        self.end_entry(entry, crc32fast::hash(data), size, start)
    }

    /// Ends an entry that starts at the offset `start` and has `packed` bytes of data.
    fn end_entry(
        &mut self,
        entry: NewEntry<'_>,
        crc: u32,
        packed: u64,
        start: u64,
    ) -> io::Result<()> {
        self.put(&entry.descriptor(crc, packed))?;
        entry.list(crc, packed, start, &mut self.directory);
        self.entries += 1;
        Ok(())
    }

    /// Writes the central directory and returns the output.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        let (start, directory) = (self.offset, std::mem::take(&mut self.directory));
        self.put(&directory)?;
        let length = directory.len() as u64;
        let mut end = Vec::new();
        if start + length >= u64::from(IS_64) || self.entries >= u64::from(u16::MAX) {
            let at = self.offset;
            end.extend(DIRECTORY_END_64.to_le_bytes());
            end.extend(44_u64.to_le_bytes());
            end.extend((UNIX | VERSION_64).to_le_bytes());
            end.extend(VERSION_64.to_le_bytes());
            end.extend([0; 8]);
            for number in [self.entries, self.entries, length, start] {
                end.extend(number.to_le_bytes());
            }
            end.extend(DIRECTORY_LOCATOR_64.to_le_bytes());
            end.extend([0; 4]);
            end.extend(at.to_le_bytes());
            end.extend(1_u32.to_le_bytes());
        }
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        end.extend(DIRECTORY_END.to_le_bytes());
        end.extend([0; 4]);
        end.extend(entries.to_le_bytes());
        end.extend(entries.to_le_bytes());
        end.extend(narrow(length).to_le_bytes());
        end.extend(narrow(start).to_le_bytes());
        end.extend([0; 2]);
        self.put(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

impl NewEntry<'_> {
    /// Whether the sizes may need 64 bits. Deflating incompressible data adds up to five bytes per
    /// 65535, so the limit leaves 1 MiB of room.
    fn is_64(&self) -> bool {
        self.size >= u64::from(IS_64) - (1 << 20)
    }

    fn version(&self) -> u16 {
        if self.is_64() { VERSION_64 } else { VERSION }
    }

    /// Writes the fields that local headers and the directory share.
    fn common(&self, out: &mut Vec<u8>) {
        out.extend(self.version().to_le_bytes());
        out.extend(SIZES_FOLLOW.to_le_bytes());
        let method = if self.is_deflated { DEFLATED } else { STORED };
        out.extend(method.to_le_bytes());
        let (time, date) = self.time.map_or((0, NO_DATE), date::to_dos);
        out.extend(time.to_le_bytes());
        out.extend(date.to_le_bytes());
    }

    /// Returns the extra field with the time to the second.
    fn time_extra(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        if let Some(time) = self.time {
            extra.extend(TIME.to_le_bytes());
            extra.extend(5_u16.to_le_bytes());
            extra.push(1);
            extra.extend(time.to_le_bytes());
        }
        extra
    }

    fn header(&self) -> Vec<u8> {
        let mut extra = self.time_extra();
        // Stored data has no end mark, so that its size must be known before it.
        let packed = if self.is_deflated { 0 } else { self.size };
        let mut sizes = [narrow(packed), narrow(self.size)];
        if self.is_64() {
            sizes = [IS_64; 2];
            extra.extend(ZIP64.to_le_bytes());
            extra.extend(16_u16.to_le_bytes());
            extra.extend(self.size.to_le_bytes());
            extra.extend(packed.to_le_bytes());
        }
        let mut out = LOCAL_HEADER.to_le_bytes().to_vec();
        self.common(&mut out);
        out.extend([0; 4]);
        out.extend(sizes.map(u32::to_le_bytes).concat());
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(extra);
        out
    }

    fn descriptor(&self, crc: u32, packed: u64) -> Vec<u8> {
        let mut out = DESCRIPTOR.to_le_bytes().to_vec();
        out.extend(crc.to_le_bytes());
        for size in [packed, self.size] {
            if self.is_64() {
                out.extend(size.to_le_bytes());
            } else {
                out.extend(narrow(size).to_le_bytes());
            }
        }
        out
    }

    /// Adds the entry to the central directory.
    fn list(&self, crc: u32, packed: u64, start: u64, out: &mut Vec<u8>) {
        let mut extra = self.time_extra();
        let wide = [self.size, packed, start].map(|number| (number, narrow(number)));
        let numbers: Vec<u8> = wide
            .iter()
            .filter(|(_, narrow)| *narrow == IS_64)
            .flat_map(|(number, _)| number.to_le_bytes())
            .collect();
        if !numbers.is_empty() {
            extra.extend(ZIP64.to_le_bytes());
            extra.extend((numbers.len() as u16).to_le_bytes());
            extra.extend(numbers);
        }
        let [(_, size), (_, packed), (_, start)] = wide;
        out.extend(DIRECTORY_ENTRY.to_le_bytes());
        out.extend((UNIX | self.version()).to_le_bytes());
        self.common(out);
        out.extend([crc, packed, size].map(u32::to_le_bytes).concat());
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend([0; 6]);
        out.extend(MODE.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(extra);
    }
}

/// Returns a number in 32 bits, or [`IS_64`] if it does not fit.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(IS_64)
}

#[cfg(test)]
mod tests {
    use super::super::packed::Packer;
    use super::super::read::Archive;
    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), Level::default());
        for (name, data) in entries {
            writer
                .entry::<io::Error>(name, Some(1_700_000_000), data.len() as u64, |take| {
                    data.chunks(1000).try_for_each(take)
                })
                .unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_front_to_back() {
        let random: Vec<u8> = (0..100_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let entries: [(&str, &[u8]); 4] = [
            ("meta.conf", b"text"),
            ("data/empty", b""),
            ("data/zero", &[0; 70_000]),
            ("r", &random),
        ];
        let bytes = archive(&entries);
        let mut archive = Archive::new(&bytes[..]);
        for (name, data) in entries {
            let header = archive.next_entry().unwrap().unwrap();
            assert_eq!(header.name, name);
            assert_eq!(archive.read_all(1 << 20).unwrap(), data);
        }
        assert_eq!(archive.next_entry().unwrap(), None);
    }

    #[test]
    fn data_that_is_deflated_in_pieces_is_the_same_to_a_reader() {
        let size = (3 << 20) + 1;
        let mut writer = Writer::new(Vec::new(), Level::new(1).unwrap());
        writer
            .entry::<io::Error>("data/large", None, size, |take| {
                take(b"x")?;
                (0..48).try_for_each(|_| take(&[0; 1 << 16]))
            })
            .unwrap();
        let bytes = writer.finish().unwrap();
        let mut archive = Archive::new(&bytes[..]);
        assert_eq!(archive.next_entry().unwrap().unwrap().size, Some(size));
        let data = archive.read_all(size as usize).unwrap();
        assert!(
            data.len() as u64 == size && data[0] == b'x' && data[1..].iter().all(|byte| *byte == 0)
        );
    }

    #[test]
    fn an_entry_that_was_packed_before_is_the_same() {
        let data = b"data ".repeat(300_000);
        let mut packer = Packer::new(Level::default());
        data.chunks(1000)
            .for_each(|piece| packer.write_all(piece).unwrap());
        let packed = packer.finish().unwrap();
        assert_eq!(packed.size, data.len() as u64);
        let mut writer = Writer::new(Vec::new(), Level::default());
        writer.packed("x", packed).unwrap();
        let mut direct = Writer::new(Vec::new(), Level::default());
        let size = data.len() as u64;
        direct
            .entry::<io::Error>("x", None, size, |take| take(&data))
            .unwrap();
        assert!(writer.finish().unwrap() == direct.finish().unwrap());
    }

    #[test]
    fn sizes_beyond_32_bits_are_written_with_64() {
        let entry = NewEntry {
            name: "large",
            time: None,
            size: 5 << 30,
            is_deflated: true,
        };
        let header = entry.header();
        assert_eq!(header[4..6], VERSION_64.to_le_bytes());
        assert_eq!(header[18..26], [0xff; 8]);
        assert_eq!(header[35..39], [1, 0, 16, 0]);
        assert_eq!(header[39..47], (5_u64 << 30).to_le_bytes());
        assert_eq!(entry.descriptor(1, 6 << 30).len(), 24);
        let mut directory = Vec::new();
        entry.list(1, 6 << 30, 7 << 30, &mut directory);
        let numbers = [5_u64 << 30, 6 << 30, 7 << 30]
            .map(u64::to_le_bytes)
            .concat();
        assert_eq!(directory[46 + 5..], [&[1, 0, 24, 0], &numbers[..]].concat());
    }
}
