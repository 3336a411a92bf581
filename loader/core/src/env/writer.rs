// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the environment with as little change as possible: a value is overwritten in place, a
//! missing variable is appended after the last one, and nothing else moves. A write therefore
//! changes few sectors, and a power cut between two of them leaves one of a few states, which
//! [`crate::env::repair`] can distinguish.

use core::ops::Range;

use thiserror::Error;

use crate::display::Word;
use crate::env::block::{Env, EnvMut, Format, entries, split};
use crate::env::changes::{Changes, Known};
use crate::env::place::EnvCopy;
use crate::units::Count;

/// The size in bytes of a sector, which a disk writes completely or not at all.
pub const SECTOR: usize = 512;

/// The block has no room for a new variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no room in the environment for {}: it needs {} bytes, and {} are free", Word(name), Count::from(*needed), Count::from(*available))]
pub struct NoRoom {
    /// The variable's name.
    pub name: &'static str,
    /// The size of its entry in bytes, including the NUL.
    pub needed: usize,
    /// The number of bytes between the end mark and the end of the block.
    pub available: usize,
}

/// The dirty sectors of a block, which differ from the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sectors {
    bits: [u64; MAX_SECTORS / 64],
}

/// The maximum number of sectors of a block: the largest environment has 512 KiB.
const MAX_SECTORS: usize = 1024;

impl Sectors {
    /// Marks the sectors that contain these bytes.
    pub fn mark(&mut self, bytes: Range<usize>) {
        for sector in bytes.start / SECTOR..bytes.end.div_ceil(SECTOR) {
            if let Some(word) = self.bits.get_mut(sector / 64) {
                *word |= 1 << (sector % 64);
            }
        }
    }

    /// Returns the numbers of the marked sectors, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..MAX_SECTORS).filter(|sector| self.bits[sector / 64] >> (sector % 64) & 1 == 1)
    }
}

/// The disk that an environment is written to.
pub trait Storage {
    /// The error of a write or a flush.
    type Error;

    /// Writes whole sectors of a copy, starting at its sector number `first`.
    ///
    /// # Errors
    ///
    /// When the write fails.
    fn write(&mut self, copy: EnvCopy, first: usize, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Waits until all writes are on stable storage.
    ///
    /// # Errors
    ///
    /// When the disk does not confirm the flush.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

/// An environment in memory that can be changed and written back.
#[derive(Debug)]
pub struct Writer<'a> {
    /// The active copy.
    block: &'a mut [u8],
    /// The inactive copy of a pair.
    pair: Option<Pair<'a>>,
    /// The sectors in which the block differs from the disk.
    dirty: Sectors,
    /// Whether the next write overwrites bytes that no repair can reconstruct.
    loses_unknown: bool,
}

/// The inactive copy of a redundant pair.
#[derive(Debug)]
struct Pair<'a> {
    /// The inactive copy: first or second.
    other_is: EnvCopy,
    /// Its contents on the disk.
    other: &'a mut [u8],
    /// Whether `other` matches the disk: false after a read error or a failed write.
    is_known: bool,
}

impl<'a> Writer<'a> {
    /// Creates a writer for a valid single copy. `dirty` contains the sectors that a repair has
    /// changed.
    #[must_use]
    pub fn single(block: &'a mut [u8], dirty: Sectors) -> Self {
        Self {
            block,
            pair: None,
            dirty,
            loses_unknown: false,
        }
    }

    /// Creates a writer for a redundant pair: `block` is the active copy, `other` the inactive one.
    /// `other_is_known` says whether `other` matches the disk.
    #[must_use]
    pub fn redundant(
        block: &'a mut [u8],
        current: EnvCopy,
        other: &'a mut [u8],
        other_is_known: bool,
    ) -> Self {
        Self {
            block,
            pair: Some(Pair {
                other_is: current.other(),
                other,
                is_known: other_is_known,
            }),
            dirty: Sectors::default(),
            loses_unknown: false,
        }
    }

    /// Returns the environment as it is in memory.
    #[must_use]
    pub fn env(&self) -> Env<'_> {
        Env::trusted(self.block, self.format())
    }

    /// The active copy.
    #[must_use]
    pub fn current(&self) -> EnvCopy {
        self.pair
            .as_ref()
            .map_or(EnvCopy::First, |pair| pair.other_is.other())
    }

    fn format(&self) -> Format {
        match self.pair {
            None => Format::Single,
            Some(_) => Format::Redundant,
        }
    }

    /// Applies the changes, writes the dirty sectors and flushes. A single copy is written in
    /// place. Of a pair, only the inactive copy is written; it becomes the active one, so a power
    /// cut leaves the other copy intact.
    ///
    /// # Errors
    ///
    /// When a new variable does not fit, nothing is changed. When a write or the flush fails, a
    /// single copy stays changed in memory, and the next write includes the missing sectors; of a
    /// pair, the previously active copy becomes active again.
    #[inline(never)]
    pub fn record<E>(
        &mut self,
        changes: &Changes,
        storage: &mut dyn Storage<Error = E>,
    ) -> Result<(), RecordError<E>> {
        self.check_room(changes)?;
        self.turn_to_other_copy();
        self.apply(changes);
        self.write(storage).map_err(RecordError::Storage)
    }

    /// Writes the dirty sectors, then flushes.
    ///
    /// # Errors
    ///
    /// When a write or the flush fails.
    pub fn write<E>(&mut self, storage: &mut dyn Storage<Error = E>) -> Result<(), E> {
        let written = self.write_sectors(storage);
        match (&written, &mut self.pair) {
            (Ok(()), _) => {
                self.dirty = Sectors::default();
                self.loses_unknown = false;
            }
            (Err(_), None) => {}
            (Err(_), Some(pair)) => {
                core::mem::swap(&mut self.block, &mut pair.other);
                pair.other_is = pair.other_is.other();
                pair.is_known = false;
                self.dirty = Sectors::default();
            }
        }
        written
    }

    fn write_sectors<E>(&self, storage: &mut dyn Storage<Error = E>) -> Result<(), E> {
        let mut sectors = self.dirty.iter().peekable();
        while let Some(sector) = sectors.next() {
            let bytes = sector * SECTOR..(sector + 1) * SECTOR;
            storage.write(self.current(), sector, &self.block[bytes])?;
            // The first sector contains the new checksum. Once it is on stable storage, a repair
            // only ever has to complete the write, never to undo it.
            if self.loses_unknown && sector == 0 && sectors.peek().is_some() {
                storage.flush()?;
            }
        }
        storage.flush()
    }

    fn check_room(&self, changes: &Changes) -> Result<(), NoRoom> {
        let format = self.format();
        let mut available = self
            .block
            .len()
            .saturating_sub(end_of_entries(self.block, format) + 1);
        for (known, value) in changes.iter() {
            if let Place::Appended = place(self.block, format, known, value) {
                let needed = entry_length(known);
                if needed > available {
                    let name = known.name();
                    return Err(NoRoom {
                        name,
                        needed,
                        available,
                    });
                }
                available -= needed;
            }
        }
        Ok(())
    }

    /// Makes the inactive copy of a pair active: copies the active one to it and increments its
    /// flags. Does nothing to a single copy.
    fn turn_to_other_copy(&mut self) {
        let Some(pair) = &mut self.pair else {
            return;
        };
        let (current, _) = self.block.as_chunks::<SECTOR>();
        let (other, _) = pair.other.as_chunks_mut::<SECTOR>();
        for (sector, (current, other)) in current.iter().zip(other).enumerate() {
            if current != other || !pair.is_known {
                self.dirty.mark(sector * SECTOR..(sector + 1) * SECTOR);
                *other = *current;
            }
        }
        pair.is_known = true;
        pair.other_is = pair.other_is.other();
        core::mem::swap(&mut self.block, &mut pair.other);
        let flags = &mut self.block[Format::FLAGS_OFFSET];
        *flags = flags.wrapping_add(1);
    }

    fn apply(&mut self, changes: &Changes) {
        let format = self.format();
        for (known, value) in changes.iter() {
            match place(self.block, format, known, value) {
                Place::Unchanged => {}
                Place::At(offset) => {
                    self.block[offset] = value;
                    self.dirty.mark(offset..offset + 1);
                }
                Place::Appended => {
                    let end = end_of_entries(self.block, format);
                    self.loses_unknown |= self.pair.is_none() && !is_padded(self.block, end);
                    let bytes = end..end + entry_length(known) + 1;
                    write_entry(&mut self.block[bytes.clone()], known, value);
                    self.dirty.mark(bytes);
                }
            }
        }
        EnvMut::trusted(self.block, format).seal();
        self.dirty.mark(0..SECTOR);
    }
}

/// Why a change could not be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError<E> {
    /// A variable does not fit.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// A write or the flush failed.
    #[error("{0}")]
    Storage(E),
}

/// The place for a variable's new value.
enum Place {
    /// Nothing changes: the variable has the value already, or is missing and the value is `0`.
    Unchanged,
    /// The single character at this offset is overwritten.
    At(usize),
    /// An entry is appended after the last one.
    Appended,
}

fn place(block: &[u8], format: Format, known: Known, value: u8) -> Place {
    match find(block, format, known) {
        None if value == b'0' => Place::Unchanged,
        Some(place) if block[place.clone()] == [value] => Place::Unchanged,
        Some(place) if is_legal(known, &block[place.clone()]) => Place::At(place.start),
        _ => Place::Appended,
    }
}

/// Returns the byte range of a variable's value, that of the last entry if the name occurs more
/// than once.
pub(crate) fn find(block: &[u8], format: Format, known: Known) -> Option<Range<usize>> {
    entries(block, format)
        .filter(|entry| {
            split(&block[entry.clone()]).is_some_and(|(name, _)| name == known.name().as_bytes())
        })
        .last()
        .map(|entry| entry.start + known.name().len() + 1..entry.end)
}

/// Whether a value can be overwritten in place.
pub(crate) fn is_legal(known: Known, value: &[u8]) -> bool {
    matches!(value, [one] if known.legal_values().contains(one))
}

/// Returns the offset of the end mark, after the last entry and its NUL.
pub(crate) fn end_of_entries(block: &[u8], format: Format) -> usize {
    entries(block, format)
        .last()
        .map_or(format.data_offset(), |entry| entry.end + 1)
        .min(block.len())
}

/// The maximum number of bytes, from the end mark on, that appending a variable changes.
pub(crate) const TAIL: usize = 24;

/// The possible padding bytes of a block.
pub(crate) const PADDING: [u8; 2] = [0xff, 0x00];

/// Whether the bytes that a new variable would overwrite are padding, which a repair can
/// reconstruct.
fn is_padded(block: &[u8], end: usize) -> bool {
    let tail = &block[block.len().min(end + 1)..block.len().min(end + TAIL)];
    PADDING
        .iter()
        .any(|padding| tail.iter().all(|byte| byte == padding))
}

/// Returns the size in bytes of `name=value` and its NUL.
pub(crate) fn entry_length(known: Known) -> usize {
    known.name().len() + 3
}

/// Writes `name=value`, its NUL and the end mark.
pub(crate) fn write_entry(place: &mut [u8], known: Known, value: u8) {
    let name = known.name().as_bytes();
    place[..name.len()].copy_from_slice(name);
    place[name.len()..name.len() + 4].copy_from_slice(&[b'=', value, 0, 0]);
}
