// SPDX-License-Identifier: MIT OR Apache-2.0

//! The log of QEMU's blklogwrites driver: every write and flush of a machine, in order.
//!
//! Source: Linux, `Documentation/admin-guide/device-mapper/log-writes.rst` and
//! `drivers/md/dm-log-writes.c`, whose format QEMU follows: a superblock, then for each entry a
//! header sector and the data. All numbers are little-endian.

use std::path::Path;

use thiserror::Error;

/// The superblock's magic number.
const MAGIC: u64 = 0x006a_7366_7773_6872;

/// An entry's flags.
const FLUSH: u64 = 1;
/// The write itself is on stable storage when it completes.
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// An operation on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A write: its byte offset on the disk, and its bytes.
    Write(u64, Vec<u8>),
    /// All earlier writes are on stable storage.
    Flush,
}

/// The reason that a log cannot be read.
#[derive(Debug, Error)]
pub enum WriteLogError {
    /// The file cannot be read.
    #[error("cannot read the log")]
    Read(#[from] std::io::Error),
    /// The file is not a write log.
    #[error("the log starts with {0:#x}, not with {MAGIC:#x}")]
    Magic(u64),
    /// The file ends too early, or has a discard, which no loader requests.
    #[error("entry {0} is cut off, or discards blocks")]
    Entry(u64),
}

/// Reads a log.
///
/// # Errors
/// When the file cannot be read or is invalid.
pub fn read(path: &Path) -> Result<Vec<Entry>, WriteLogError> {
    let bytes = std::fs::read(path)?;
    let number = |at: usize, length: usize| -> Option<u64> {
        let mut raw = [0; 8];
        raw[..length].copy_from_slice(bytes.get(at..at + length)?);
        Some(u64::from_le_bytes(raw))
    };
    let magic = number(0, 8).unwrap_or_default();
    if magic != MAGIC {
        return Err(WriteLogError::Magic(magic));
    }
    let cut = WriteLogError::Entry(0);
    let count = number(16, 8).ok_or(cut)?;
    let sector = number(24, 4).unwrap_or(512) as usize;
    let mut at = sector;
    let mut entries = Vec::new();
    for index in 0..count {
        let field = |offset| number(at + offset, 8).ok_or(WriteLogError::Entry(index));
        let (start, sectors, flags) = (field(0)?, field(8)?, field(16)?);
        at += sector;
        if flags & DISCARD != 0 {
            return Err(WriteLogError::Entry(index));
        }
        if flags & FLUSH != 0 {
            entries.push(Entry::Flush);
        }
        if sectors > 0 {
            let length = sectors as usize * sector;
            let data = bytes
                .get(at..at + length)
                .ok_or(WriteLogError::Entry(index))?;
            entries.push(Entry::Write(start * sector as u64, data.to_vec()));
            at += length;
        }
        if flags & FUA != 0 {
            entries.push(Entry::Flush);
        }
    }
    Ok(entries)
}

/// Returns every disk state that a power cut can leave, with the number of completed entries:
/// flushed writes are on the disk, and any subset of the later ones.
#[must_use]
pub fn cuts(disk: &[u8], entries: &[Entry]) -> Vec<(usize, Vec<u8>)> {
    let put = |disk: &mut Vec<u8>, entry: &Entry| {
        if let Entry::Write(start, bytes) = entry {
            let start = *start as usize;
            disk[start..start + bytes.len()].copy_from_slice(bytes);
        }
    };
    let mut cuts = Vec::new();
    for done in 0..=entries.len() {
        let flushed = entries[..done]
            .iter()
            .rposition(|entry| *entry == Entry::Flush)
            .unwrap_or(0);
        let mut safe = disk.to_vec();
        entries[..flushed]
            .iter()
            .for_each(|entry| put(&mut safe, entry));
        let pending: Vec<&Entry> = entries[flushed..done]
            .iter()
            .filter(|entry| **entry != Entry::Flush)
            .collect();
        for subset in 0..1_u32 << pending.len() {
            let mut cut = safe.clone();
            for (bit, entry) in pending.iter().enumerate() {
                if subset >> bit & 1 == 1 {
                    put(&mut cut, entry);
                }
            }
            cuts.push((done, cut));
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let mut log = Vec::new();
        let sector = |numbers: &[u64]| {
            let mut bytes: Vec<u8> = numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect();
            bytes.resize(512, 0);
            bytes
        };
        log.extend(sector(&[MAGIC, 1, 2, 512]));
        log.extend(sector(&[3, 1, 0, 0]));
        log.extend([7; 512]);
        log.extend(sector(&[0, 0, FLUSH, 0]));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &log).unwrap();
        let entries = read(file.path()).unwrap();
        assert_eq!(entries, [Entry::Write(1536, vec![7; 512]), Entry::Flush]);
        // Before the write, it is not on the disk; before the flush, it may be; after the flush, it
        // is.
        let disks = cuts(&[0; 4096], &entries);
        let written: Vec<bool> = disks.iter().map(|(_, disk)| disk[1536] == 7).collect();
        assert_eq!(written, [false, false, true, true]);

        std::fs::write(file.path(), &log[..700]).unwrap();
        assert!(matches!(read(file.path()), Err(WriteLogError::Entry(0))));
        std::fs::write(file.path(), "something else").unwrap();
        assert!(matches!(read(file.path()), Err(WriteLogError::Magic(_))));
    }
}
