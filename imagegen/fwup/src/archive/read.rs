// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads an archive from front to back, so that it may come from a pipe. The directory at the end is never looked at.
//!
//! Source: PKWARE APPNOTE 6.3.10, sections 4.3.6 (order), 4.3.7 (local header), 4.3.9 (data descriptor), 4.5.3 (ZIP64).

use std::io::{self, BufRead, BufReader, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{DESCRIPTOR, IS_64, LOCAL_HEADER, SIZES_FOLLOW, TIME, ZIP64};
use crate::date;

/// The input's buffer in bytes.
const BUFFER: usize = 128 << 10;

/// What may stand behind the last entry: an entry of the directory (APPNOTE, section 4.3.12), and without any the digital
/// signature (4.3.13), or the end with ZIP64 (4.3.14) or without (4.3.16); in front of it the archive's extra data (4.3.11).
const DIRECTORY: [u32; 5] = [
    0x0201_4b50,
    0x0505_4b50,
    0x0606_4b50,
    0x0605_4b50,
    0x0806_4b50,
];

/// The general purpose flag of encrypted entries.
const ENCRYPTED: u16 = 1;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The input cannot be read.
    #[error("byte {offset} of the archive: {error}")]
    Input {
        /// How far it was read, in bytes.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// It ends too early.
    #[error("the archive ends at byte {offset}, in the middle of {what}")]
    Ends {
        /// Its length in bytes.
        offset: u64,
        /// What is not all there.
        what: &'static str,
    },
    /// It is no archive, or damaged.
    #[error("byte {offset} of the archive: {what}")]
    Bad {
        /// Where, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

/// An entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, as `data/NAME`.
    pub name: String,
    /// The size of the data in bytes; `None` where only what follows the data tells.
    pub size: Option<u64>,
    /// When the file was changed, in seconds since 1970.
    pub modified: Option<u32>,
}

/// An archive that is being read.
pub struct Archive<R> {
    input: BufReader<R>,
    /// How many bytes of the archive were read.
    offset: u64,
    inflate: Decompress,
    entry: Option<Entry>,
}

/// The entry that is being read.
#[derive(Debug)]
struct Entry {
    is_deflated: bool,
    sizes_follow: bool,
    is_64: bool,
    crc: u32,
    packed: Option<u64>,
    size: Option<u64>,
    /// What was read until now.
    packed_read: u64,
    size_read: u64,
    hasher: crc32fast::Hasher,
}

impl<R: Read> Archive<R> {
    /// Starts to read.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            offset: 0,
            inflate: Decompress::new(false),
            entry: None,
        }
    }

    /// Passes over the rest of the current entry, and reads the next one's header; `None` where the directory starts.
    ///
    /// # Errors
    ///
    /// When the rest of the current entry is bad, or no header follows.
    pub fn next_entry(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut rest = [0; 16 << 10];
        while self.entry.is_some() {
            self.read(&mut rest)?;
        }
        let start = self.offset;
        let signature = self.u32("a header")?;
        if DIRECTORY.contains(&signature) {
            return Ok(None);
        }
        if signature != LOCAL_HEADER {
            return Err(bad(
                start,
                format!("found {signature:#010x}, expected an entry of a ZIP archive"),
            ));
        }
        self.header(start).map(Some)
    }

    fn header(&mut self, start: u64) -> Result<Header, ArchiveError> {
        let _version = self.u16("a header")?;
        let flags = self.u16("a header")?;
        let method = self.u16("a header")?;
        let dos_time = [self.u16("a header")?, self.u16("a header")?];
        let crc = self.u32("a header")?;
        let packed = self.u32("a header")?;
        let size = self.u32("a header")?;
        let name_length = self.u16("a header")?;
        let extra_length = self.u16("a header")?;
        let name = self.bytes(name_length, "an entry's name")?;
        let extra = self.bytes(extra_length, "an entry's extra field")?;
        let name = String::from_utf8(name)
            .map_err(|_| bad(start, "the entry's name is no UTF-8".to_owned()))?;
        let fail = |what: &str| {
            Err(bad(
                start,
                format!("entry \"{}\": {what}", name.escape_debug()),
            ))
        };
        if name.is_empty() || name.contains('\0') {
            return fail("no name");
        }
        if flags & ENCRYPTED != 0 {
            return fail("encrypted entries are not read");
        }
        let is_deflated = match method {
            0 => false,
            8 => true,
            _ => {
                return fail(&format!(
                    "compression method {method} is not read, only stored and deflated"
                ));
            }
        };
        let sizes_follow = flags & SIZES_FOLLOW != 0;
        let wide = extra_field(&extra, ZIP64);
        let is_64 = wide.is_some();
        let mut wide = wide.unwrap_or_default();
        let mut full = |size: u32| {
            if size == IS_64 {
                wide.split_first_chunk::<8>().map(|(first, rest)| {
                    wide = rest;
                    u64::from_le_bytes(*first)
                })
            } else {
                Some(u64::from(size))
            }
        };
        let (Some(size), Some(packed)) = (full(size), full(packed)) else {
            return fail("its sizes are missing");
        };
        // Where the sizes follow, a size of zero here means that it is not known yet.
        let known = |size: u64| (!sizes_follow || size != 0).then_some(size);
        let (mut size, mut packed) = (known(size), known(packed));
        if !is_deflated {
            // Nothing in the data tells where it ends.
            let stored = size.or(packed).unwrap_or(0);
            if packed.is_some_and(|packed| packed != stored) {
                return fail("a stored entry with two different sizes");
            }
            (size, packed) = (Some(stored), Some(stored));
        }
        self.inflate.reset(false);
        self.entry = Some(Entry {
            is_deflated,
            sizes_follow,
            is_64,
            crc,
            packed,
            size,
            packed_read: 0,
            size_read: 0,
            hasher: crc32fast::Hasher::new(),
        });
        let modified = unix_time(&extra).or_else(|| dos_seconds(dos_time));
        Ok(Header {
            name,
            size,
            modified,
        })
    }

    /// Reads data of the current entry, as much as `out` takes; less only at its end, where checksum and sizes are checked.
    ///
    /// # Errors
    ///
    /// When the data is damaged or cut off.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        let mut filled = 0;
        while filled < out.len() {
            let Some(entry) = &mut self.entry else {
                break;
            };
            while let Err(error) = self.input.fill_buf() {
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(ArchiveError::Input {
                        offset: self.offset,
                        error,
                    });
                }
            }
            let input = self.input.buffer();
            let left = entry
                .packed
                .map_or(u64::MAX, |packed| packed - entry.packed_read);
            let available = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let input_ended = input.is_empty() && left != 0;
            let room = &mut out[filled..];
            let (taken, made, is_end) = if entry.is_deflated {
                let before = (self.inflate.total_in(), self.inflate.total_out());
                let status = self
                    .inflate
                    .decompress(&input[..available], room, FlushDecompress::None)
                    .map_err(|_| bad(self.offset, "the compressed data is damaged".to_owned()))?;
                let taken = self.inflate.total_in() - before.0;
                let made = self.inflate.total_out() - before.1;
                let is_end = status == Status::StreamEnd;
                if taken == 0 && made == 0 && !is_end && !input_ended {
                    return Err(bad(
                        self.offset,
                        "the compressed data does not end where it should".to_owned(),
                    ));
                }
                (taken as usize, made as usize, is_end)
            } else {
                let length = available.min(room.len());
                room[..length].copy_from_slice(&input[..length]);
                (length, length, left == length as u64)
            };
            entry.hasher.update(&room[..made]);
            entry.packed_read += taken as u64;
            entry.size_read += made as u64;
            filled += made;
            self.input.consume(taken);
            self.offset += taken as u64;
            if entry.size.is_some_and(|size| entry.size_read > size) {
                return Err(bad(
                    self.offset,
                    "the entry's data is longer than its header says".to_owned(),
                ));
            }
            if is_end {
                self.end_of_entry()?;
            } else if input_ended && made == 0 {
                return Err(ArchiveError::Ends {
                    offset: self.offset,
                    what: "an entry's data",
                });
            }
        }
        Ok(filled)
    }

    /// Reads an entry's data whole.
    ///
    /// # Errors
    ///
    /// When it is damaged, or more than `limit` bytes.
    pub fn read_all(&mut self, limit: usize) -> Result<Vec<u8>, ArchiveError> {
        let mut data = vec![0; limit + 1];
        let length = self.read(&mut data)?;
        if length > limit {
            return Err(bad(
                self.offset,
                format!("the entry has more than {limit} bytes"),
            ));
        }
        data.truncate(length);
        Ok(data)
    }

    /// Checks what was read against what the header, or what follows the data, says.
    fn end_of_entry(&mut self) -> Result<(), ArchiveError> {
        let Some(entry) = self.entry.take() else {
            return Ok(());
        };
        let offset = self.offset;
        let (mut crc, mut packed, mut size) = (entry.crc, entry.packed, entry.size);
        if entry.sizes_follow {
            let what = "what follows an entry's data";
            crc = self.u32(what)?;
            if crc == DESCRIPTOR {
                crc = self.u32(what)?;
            }
            let (found_packed, found_size) = if entry.is_64 {
                (self.u64(what)?, self.u64(what)?)
            } else {
                (u64::from(self.u32(what)?), u64::from(self.u32(what)?))
            };
            if packed.is_some_and(|packed| packed != found_packed)
                || size.is_some_and(|size| size != found_size)
            {
                return Err(bad(
                    offset,
                    "the sizes before and behind the data differ".to_owned(),
                ));
            }
            (packed, size) = (Some(found_packed), Some(found_size));
        }
        let check = |what: &str, expected: Option<u64>, found: u64| match expected {
            Some(expected) if expected != found => Err(bad(
                offset,
                format!("the entry's {what} is {found} bytes, the archive says {expected}"),
            )),
            _ => Ok(()),
        };
        check("compressed size", packed, entry.packed_read)?;
        check("size", size, entry.size_read)?;
        let found = entry.hasher.finalize();
        if found != crc {
            return Err(bad(
                offset,
                format!("the entry's CRC-32 is {found:#010x}, the archive says {crc:#010x}"),
            ));
        }
        Ok(())
    }

    fn exact(&mut self, out: &mut [u8], what: &'static str) -> Result<(), ArchiveError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.input.read(&mut out[filled..]) {
                Ok(0) => {
                    return Err(ArchiveError::Ends {
                        offset: self.offset,
                        what,
                    });
                }
                Ok(length) => {
                    filled += length;
                    self.offset += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(ArchiveError::Input {
                        offset: self.offset,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, ArchiveError> {
        let mut bytes = [0; 2];
        self.exact(&mut bytes, what)?;
        Ok(u16::from_le_bytes(bytes))
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

    fn bytes(&mut self, length: u16, what: &'static str) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = vec![0; usize::from(length)];
        self.exact(&mut bytes, what)?;
        Ok(bytes)
    }
}

fn bad(offset: u64, what: String) -> ArchiveError {
    ArchiveError::Bad { offset, what }
}

/// What the extra field with the time says.
fn unix_time(extra: &[u8]) -> Option<u32> {
    let (flags, rest) = extra_field(extra, TIME)?.split_first()?;
    let (time, _) = rest.split_first_chunk::<4>()?;
    (flags & 1 != 0).then(|| u32::from_le_bytes(*time))
}

/// Time and date as a directory entry of FAT has them, taken as UTC. 1980-01-01 stands for none.
fn dos_seconds([time, date]: [u16; 2]) -> Option<u32> {
    let bits = |value: u16, shift: u16, count: u16| u32::from(value >> shift & ((1 << count) - 1));
    let day = date::day(
        1980 + i64::from(date >> 9),
        bits(date, 5, 4),
        bits(date, 0, 5),
    );
    let in_day = bits(time, 11, 5) * 3600 + bits(time, 5, 6) * 60 + bits(time, 0, 5) * 2;
    let seconds = day * 86_400 + i64::from(in_day);
    u32::try_from(seconds).ok().filter(|_| date > 0x21)
}

/// The contents of an extra field.
fn extra_field(mut extra: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let contents = rest.get(..length)?;
        if kind == wanted {
            return Some(contents);
        }
        extra = &rest[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;

    use super::*;

    /// An entry as fwup writes it: sizes behind the data, and only the unpacked one in front of it.
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

    /// All entries with their data.
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
    fn entries_that_are_not_read_are_checked_all_the_same() {
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
    fn interruptions_by_signals_are_none() {
        let bytes = sample();
        let mut archive = Archive::new(Interrupted(&bytes, false));
        let mut lengths = Vec::new();
        while archive.next_entry().unwrap().is_some() {
            lengths.push(archive.read_all(1 << 20).unwrap().len());
        }
        assert_eq!(lengths, [64, 20, 0, 0, 5000]);
    }

    #[test]
    fn the_directory_is_the_end() {
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
        // What comes behind another record, or is none.
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
    fn what_cannot_be_read_is_named() {
        let mut bytes = sample();
        bytes[6] |= 1;
        assert_eq!(
            read_whole(&bytes).unwrap_err().to_string(),
            "byte 0 of the archive: entry \"meta.conf.ed25519\": encrypted entries are not read"
        );
        let mut bytes = sample();
        bytes[8] = 14;
        assert_eq!(
            read_whole(&bytes).unwrap_err().to_string(),
            "byte 0 of the archive: entry \"meta.conf.ed25519\": compression method 14 is not read, only stored and deflated"
        );
        assert_eq!(
            read_whole(b"#!/bin/sh\n").unwrap_err().to_string(),
            "byte 0 of the archive: found 0x622f2123, expected an entry of a ZIP archive"
        );
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
