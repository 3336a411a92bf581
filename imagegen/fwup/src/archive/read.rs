// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads an archive from front to back, so that it can come from a pipe. The central directory at
//! the end is never read.
//!
//! Source: PKWARE APPNOTE 6.3.10, sections 4.3.6 (order), 4.3.9 (data descriptor).

use std::io::{self, BufRead, BufReader, Read};

use flate2::{Decompress, FlushDecompress, Status};

pub use super::header::Header;
use super::header::{FixedPart, LocalHeader};
use super::zip::{DESCRIPTOR, DIRECTORY_END, DIRECTORY_END_64, DIRECTORY_ENTRY, LOCAL_HEADER};

/// The size of the input's buffer in bytes.
const BUFFER: usize = 128 << 10;

/// The maximum number of entries: that of an archive without ZIP64.
const MOST_ENTRIES: u32 = 65_535;

/// The records that may follow the last entry: the central directory, or if that is empty its
/// digital signature (APPNOTE, section 4.3.13) or its end, or the archive extra data before it
/// (4.3.11).
const AFTER_ENTRIES: [u32; 5] = [
    DIRECTORY_ENTRY,
    0x0505_4b50,
    DIRECTORY_END_64,
    DIRECTORY_END,
    0x0806_4b50,
];

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The input cannot be read.
    #[error("byte {offset} of the archive: {error}")]
    Input {
        /// The offset of the failed read, in bytes.
        offset: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The archive is incomplete.
    #[error("the archive ends at byte {offset}, in the middle of {what}")]
    Truncated {
        /// The length of the archive in bytes.
        offset: u64,
        /// The part that is incomplete.
        what: &'static str,
    },
    /// The input is not a ZIP archive, or the archive is damaged.
    #[error("byte {offset} of the archive: {what}")]
    Invalid {
        /// The offset in bytes.
        offset: u64,
        /// The error.
        what: String,
    },
}

/// A ZIP archive that is being read.
pub struct Archive<R> {
    input: BufReader<R>,
    /// The number of bytes of the archive read so far.
    offset: u64,
    inflate: Decompress,
    /// The number of entries whose headers have been read.
    entries: u32,
    entry: Option<CurrentEntry>,
}

/// The entry that is being read.
#[derive(Debug)]
struct CurrentEntry {
    local: LocalHeader,
    packed_read: u64,
    size_read: u64,
    hasher: crc32fast::Hasher,
}

impl<R: Read> Archive<R> {
    /// Creates a reader. Reads nothing yet.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            offset: 0,
            inflate: Decompress::new(false),
            entries: 0,
            entry: None,
        }
    }

    /// Skips the rest of the current entry and reads the next header; `None` after the last entry.
    ///
    /// # Errors
    ///
    /// When the rest of the current entry is damaged, or no header follows.
    pub fn next_entry(&mut self) -> Result<Option<Header>, ArchiveError> {
        self.skip(u64::MAX)?;
        let start = self.offset;
        let signature = self.u32("a header")?;
        if AFTER_ENTRIES.contains(&signature) {
            return Ok(None);
        }
        if signature != LOCAL_HEADER {
            return Err(invalid(
                start,
                format!("found {signature:#010x}, expected an entry of a ZIP archive"),
            ));
        }
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(invalid(
                start,
                format!("the archive has more than {MOST_ENTRIES} entries"),
            ));
        }
        let mut fixed = FixedPart([0; FixedPart::SIZE]);
        self.exact(&mut fixed.0, "a header")?;
        let mut name = vec![0; fixed.name_length()];
        self.exact(&mut name, "an entry's name")?;
        let mut extra = vec![0; fixed.extra_length()];
        self.exact(&mut extra, "an entry's extra field")?;
        let local = LocalHeader::parse(fixed, name, &extra).map_err(|what| invalid(start, what))?;
        let header = local.header.clone();
        self.inflate.reset(false);
        self.entry = Some(CurrentEntry {
            local,
            packed_read: 0,
            size_read: 0,
            hasher: crc32fast::Hasher::new(),
        });
        Ok(Some(header))
    }

    /// Skips the rest of the current entry, which must have at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// When the rest of the entry is damaged or longer.
    pub fn skip(&mut self, limit: u64) -> Result<(), ArchiveError> {
        let mut rest = [0; 16 << 10];
        let mut skipped = 0;
        while let Some(entry) = &self.entry {
            let declared = entry.local.header.size.unwrap_or(0);
            if skipped > limit || declared > limit {
                let name = entry.local.header.name.escape_debug();
                let what = format!(
                    "entry \"{name}\" is not used, and has more than the {limit} bytes expected"
                );
                return Err(invalid(self.offset, what));
            }
            skipped += self.read(&mut rest)? as u64;
        }
        Ok(())
    }

    /// Reads data of the current entry. Fills `out` except at the end of the entry, where the
    /// checksum and sizes are checked.
    ///
    /// # Errors
    ///
    /// When the data is damaged or truncated.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        let mut filled = 0;
        while filled < out.len() && self.entry.is_some() {
            filled += self.read_some(&mut out[filled..])?;
        }
        Ok(filled)
    }

    /// Reads as much data as one buffer of input yields.
    fn read_some(&mut self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        self.fill_buffer()?;
        let Some(entry) = &mut self.entry else {
            return Ok(0);
        };
        let input = self.input.buffer();
        let packed = entry.local.packed;
        let left = packed.map_or(u64::MAX, |packed| packed - entry.packed_read);
        let available = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let input_ended = input.is_empty() && left != 0;
        let (taken, made, is_end) = if entry.local.is_deflated {
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(&input[..available], out, FlushDecompress::None)
                .map_err(|_| invalid(self.offset, "the compressed data is damaged"))?;
            let taken = self.inflate.total_in() - before.0;
            let made = self.inflate.total_out() - before.1;
            let is_end = status == Status::StreamEnd;
            if taken == 0 && made == 0 && !is_end && !input_ended {
                return Err(invalid(
                    self.offset,
                    "the compressed data does not end where it should",
                ));
            }
            (taken as usize, made as usize, is_end)
        } else {
            let length = available.min(out.len());
            out[..length].copy_from_slice(&input[..length]);
            (length, length, left == length as u64)
        };
        entry.hasher.update(&out[..made]);
        entry.packed_read += taken as u64;
        entry.size_read += made as u64;
        let size = entry.local.header.size;
        let is_too_long = size.is_some_and(|size| entry.size_read > size);
        self.input.consume(taken);
        self.offset += taken as u64;
        if is_too_long {
            return Err(invalid(
                self.offset,
                "the entry's data is longer than its header says",
            ));
        }
        if is_end {
            self.end_of_entry()?;
        } else if input_ended && made == 0 {
            return Err(self.truncated("an entry's data"));
        }
        Ok(made)
    }

    /// Reads all data of the current entry.
    ///
    /// # Errors
    ///
    /// When the data is damaged, or longer than `limit` bytes.
    pub fn read_all(&mut self, limit: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut data = vec![0; limit + 1];
        let length = self.read(&mut data)?;
        if length > limit {
            return Err(invalid(
                self.offset,
                format!("the entry has more than {limit} bytes"),
            ));
        }
        data.truncate(length);
        Ok(data)
    }

    /// Checks the data's CRC-32 and sizes against the header, or against the data descriptor that
    /// follows.
    fn end_of_entry(&mut self) -> Result<(), ArchiveError> {
        let Some(entry) = self.entry.take() else {
            return Ok(());
        };
        let offset = self.offset;
        let local = entry.local;
        let (mut crc, mut packed, mut size) = (local.crc, local.packed, local.header.size);
        if local.sizes_follow {
            let what = "an entry's data descriptor";
            crc = self.u32(what)?;
            if crc == DESCRIPTOR {
                crc = self.u32(what)?;
            }
            let (found_packed, found_size) = if local.is_64 {
                (self.u64(what)?, self.u64(what)?)
            } else {
                (u64::from(self.u32(what)?), u64::from(self.u32(what)?))
            };
            if packed.is_some_and(|packed| packed != found_packed)
                || size.is_some_and(|size| size != found_size)
            {
                return Err(invalid(
                    offset,
                    "the sizes before and after the data differ",
                ));
            }
            (packed, size) = (Some(found_packed), Some(found_size));
        }
        let check = |what: &str, expected: Option<u64>, found: u64| match expected {
            Some(expected) if expected != found => Err(invalid(
                offset,
                format!("the entry's {what} is {found} bytes, the archive says {expected}"),
            )),
            _ => Ok(()),
        };
        check("compressed size", packed, entry.packed_read)?;
        check("size", size, entry.size_read)?;
        let found = entry.hasher.finalize();
        if found != crc {
            return Err(invalid(
                offset,
                format!("the entry's CRC-32 is {found:#010x}, the archive says {crc:#010x}"),
            ));
        }
        Ok(())
    }

    fn fill_buffer(&mut self) -> Result<(), ArchiveError> {
        while let Err(error) = self.input.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(self.unreadable(error));
            }
        }
        Ok(())
    }

    fn exact(&mut self, out: &mut [u8], what: &'static str) -> Result<(), ArchiveError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.input.read(&mut out[filled..]) {
                Ok(0) => return Err(self.truncated(what)),
                Ok(length) => {
                    filled += length;
                    self.offset += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(error)),
            }
        }
        Ok(())
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, ArchiveError> {
        let mut bytes = [0; 4];
        self.exact(&mut bytes, what)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, ArchiveError> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes, what)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn truncated(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Truncated {
            offset: self.offset,
            what,
        }
    }

    fn unreadable(&self, error: io::Error) -> ArchiveError {
        ArchiveError::Input {
            offset: self.offset,
            error,
        }
    }
}

fn invalid(offset: u64, what: impl Into<String>) -> ArchiveError {
    ArchiveError::Invalid {
        offset,
        what: what.into(),
    }
}

/// The current entry of an archive. An error of [`io::Read`] contains an [`ArchiveError`].
pub(crate) struct EntryReader<'a, R>(pub(crate) &'a mut Archive<R>);

impl<R: Read> Read for EntryReader<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::*;

    /// Returns an entry as fwup writes it: both sizes after the data, and only the uncompressed
    /// size before it.
    fn entry(name: &str, data: &[u8], is_deflated: bool) -> Vec<u8> {
        let packed = if is_deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        } else {
            data.to_vec()
        };
        let size = u32::try_from(data.len()).unwrap().to_le_bytes();
        let packed_size = u32::try_from(packed.len()).unwrap().to_le_bytes();
        let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let mut bytes = b"PK\x03\x04\x14\0\x08\0".to_vec();
        bytes.extend([
            if is_deflated { 8 } else { 0 },
            0,
            0,
            0,
            0x21,
            0,
            0,
            0,
            0,
            0,
        ]);
        bytes.extend(if is_deflated { [0; 4] } else { packed_size });
        bytes.extend(size);
        bytes.extend(name_length);
        bytes.extend([0, 0]);
        bytes.extend(name.as_bytes());
        bytes.extend(&packed);
        bytes.extend(b"PK\x07\x08");
        bytes.extend(crc32fast::hash(data).to_le_bytes());
        bytes.extend(packed_size);
        bytes.extend(size);
        bytes
    }

    /// Reads all entries with their data.
    fn read_whole(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut archive = Archive::new(bytes);
        let mut entries = Vec::new();
        while let Some(header) = archive.next_entry()? {
            entries.push((header.name, archive.read_all(1 << 20)?));
        }
        Ok(entries)
    }

    fn archive(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let mut bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(name, data, is_deflated)| entry(name, data, *is_deflated))
            .collect();
        bytes.extend(b"PK\x01\x02");
        bytes
    }

    fn sample() -> Vec<u8> {
        archive(&[
            ("meta.conf.ed25519", &[7; 64], false),
            ("meta.conf", b"task \"complete\" {\n}\n", true),
            ("data/empty", b"", true),
            ("data/also empty", b"", false),
            ("data/x", &[b'x'; 5000], true),
        ])
    }

    #[test]
    fn entries_are_read_in_order() {
        let entries = read_whole(&sample()).unwrap();
        let sizes: Vec<_> = entries
            .iter()
            .map(|(name, data)| (name.as_str(), data.len()))
            .collect();
        assert_eq!(
            sizes,
            [
                ("meta.conf.ed25519", 64),
                ("meta.conf", 20),
                ("data/empty", 0),
                ("data/also empty", 0),
                ("data/x", 5000)
            ]
        );
    }

    #[test]
    fn entries_that_are_skipped_are_checked() {
        let mut bytes = sample();
        let length = bytes.len();
        bytes[length - 4 - 12] ^= 1;
        let mut archive = Archive::new(&bytes[..]);
        for _ in 0..5 {
            archive.next_entry().unwrap().unwrap();
        }
        let error = archive.next_entry().unwrap_err().to_string();
        assert!(error.contains("CRC-32"), "{error}");
    }

    /// Reads a few bytes at a time, and is interrupted in between.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = out.len().min(7);
            self.0.read(&mut out[..length])
        }
    }

    #[test]
    fn a_read_that_a_signal_interrupts_is_repeated() {
        let bytes = sample();
        let mut archive = Archive::new(Interrupted(&bytes, false));
        let mut lengths = Vec::new();
        while archive.next_entry().unwrap().is_some() {
            lengths.push(archive.read_all(1 << 20).unwrap().len());
        }
        assert_eq!(lengths, [64, 20, 0, 0, 5000]);
    }

    #[test]
    fn the_directory_ends_the_entries() {
        let entries = entry("a", b"data", true);
        for end in [
            b"PK\x01\x02",
            b"PK\x05\x05",
            b"PK\x05\x06",
            b"PK\x06\x06",
            b"PK\x06\x08",
        ] {
            let read = read_whole(&[&entries[..], end].concat()).unwrap();
            assert_eq!(read, [("a".to_owned(), b"data".to_vec())]);
        }
        // Records that cannot be the first after the entries, and bytes that are not a record.
        for end in [b"PK\x07\x08", b"PK\x06\x07", b"QK\x07\x08"] {
            let error = read_whole(&[&entries[..], end].concat()).unwrap_err();
            assert!(error.to_string().contains("expected an entry"), "{error}");
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(read_whole(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_entry_that_is_not_supported_is_named() {
        let mut bytes = sample();
        bytes[6] |= 1;
        assert_eq!(
            read_whole(&bytes).unwrap_err().to_string(),
            "byte 0 of the archive: entry \"meta.conf.ed25519\": encrypted entries are not supported"
        );
        let mut bytes = sample();
        bytes[8] = 14;
        assert_eq!(
            read_whole(&bytes).unwrap_err().to_string(),
            "byte 0 of the archive: entry \"meta.conf.ed25519\": compression method 14 is not supported, only stored and deflated"
        );
        assert_eq!(
            read_whole(b"#!/bin/sh\n").unwrap_err().to_string(),
            "byte 0 of the archive: found 0x622f2123, expected an entry of a ZIP archive"
        );
    }

    #[test]
    fn data_longer_than_declared_is_refused_at_once() {
        let mut bytes = entry("data/x", &vec![0; 64 << 20], true);
        // The size before the data.
        bytes[22..26].copy_from_slice(&100_u32.to_le_bytes());
        let mut archive = Archive::new(&bytes[..]);
        archive.next_entry().unwrap().unwrap();
        let error = archive.read(&mut [0; 4096]).unwrap_err().to_string();
        assert!(error.contains("longer than its header says"), "{error}");
        let mut archive = Archive::new(&bytes[..]);
        archive.next_entry().unwrap().unwrap();
        assert!(archive.next_entry().is_err());
        assert!(archive.offset < 64 << 10);
    }

    #[test]
    fn names_outside_the_archive_are_refused() {
        for name in ["/etc/passwd", "../x", "data/../../x", "data/.."] {
            let error = read_whole(&archive(&[(name, b"x", true)])).unwrap_err();
            assert!(error.to_string().contains("is absolute or contains '..'"));
        }
        read_whole(&archive(&[("data/..x/...", b"x", true)])).unwrap();
    }

    #[test]
    fn an_entry_that_is_skipped_has_a_limit() {
        let mut unknown = entry("data/x", &vec![0; 1 << 20], true);
        let read = |bytes: &[u8], limit| {
            let mut archive = Archive::new(bytes);
            archive.next_entry().unwrap().unwrap();
            archive.skip(limit).map(|()| archive.offset)
        };
        assert_eq!(read(&unknown, 1 << 20).unwrap(), unknown.len() as u64);
        let error = read(&unknown, (1 << 20) - 1).unwrap_err().to_string();
        assert!(error.contains("is not used, and has more than"), "{error}");
        // A size that is not known before the data.
        unknown[22..26].fill(0);
        read(&unknown, 1 << 20).unwrap();
        assert!(read(&unknown, 1 << 18).is_err());
    }

    #[test]
    fn the_number_of_entries_has_a_limit() {
        let one = entry("data/", b"", false);
        let mut bytes = one.repeat(MOST_ENTRIES as usize);
        let counted = |bytes: &[u8]| {
            let mut archive = Archive::new(bytes);
            while archive.next_entry()?.is_some() {}
            Ok::<_, ArchiveError>(archive.entries)
        };
        let end = b"PK\x01\x02";
        assert_eq!(counted(&[&bytes[..], end].concat()).unwrap(), MOST_ENTRIES);
        bytes.extend(one);
        let error = counted(&[&bytes[..], end].concat()).unwrap_err();
        assert!(error.to_string().contains("more than 65535 entries"));
    }

    proptest! {
        #[test]
        fn what_is_packed_reads_back(
            entries in proptest::collection::vec(("[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..5)
        ) {
            let list: Vec<_> = entries.iter().map(|(name, data, deflated)| (name.as_str(), &data[..], *deflated)).collect();
            let read = read_whole(&archive(&list)).unwrap();
            prop_assert_eq!(read.len(), entries.len());
            for ((name, data), (expected_name, expected, _)) in read.iter().zip(&entries) {
                prop_assert_eq!(name, expected_name);
                prop_assert_eq!(data, expected);
            }
        }

        #[test]
        fn a_flipped_bit_in_the_data_is_found(bit in 0_usize..64 * 8) {
            let mut bytes = sample();
            let data = 30 + "meta.conf.ed25519".len();
            bytes[data + bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read_whole(&bytes).is_err());
        }

        #[test]
        fn damage_is_an_error_or_read_and_never_a_panic(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
        ) {
            let mut bytes = sample();
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            let _ = read_whole(&bytes);
        }

        #[test]
        fn noise_is_an_error_or_read_and_never_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.extend(noise);
            prop_assert!(read_whole(&bytes).is_err());
        }
    }
}
