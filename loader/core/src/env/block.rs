// SPDX-License-Identifier: MIT OR Apache-2.0

//! The U-Boot environment block: variables on the raw disk, protected by a checksum.
//!
//! Layout, as in U-Boot (`include/env_internal.h`, `struct environment_s`):
//!
//! | offset | single copy | redundant pair |
//! | --- | --- | --- |
//! | 0 | CRC-32 of the data, little-endian | the same |
//! | 4 | data | flags: a counter, ahead in the newer copy (modulo 256) |
//! | 5 | | data |
//!
//! The data is a series of NUL-terminated `name=value` strings, ended by one more NUL, the end
//! mark. Padding (0xff or 0x00) fills the rest, and the checksum covers it too. Names are unique;
//! if not, the last entry is used.

use core::ops::Range;

use thiserror::Error;

use crate::display::Hex;
use crate::env::checksum::checksum;
use crate::units::Count;

/// The size in bytes of the checksum at the start of the block.
const CRC_SIZE: usize = 4;

/// The layout of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One copy: the data follows the checksum.
    Single,
    /// One of two copies: a flags byte is between the checksum and the data.
    Redundant,
}

impl Format {
    /// The offset in bytes of the flags byte in a redundant copy.
    pub(crate) const FLAGS_OFFSET: usize = CRC_SIZE;

    /// Returns the offset in bytes at which the data starts.
    #[must_use]
    pub const fn data_offset(self) -> usize {
        match self {
            Self::Single => CRC_SIZE,
            Self::Redundant => CRC_SIZE + 1,
        }
    }
}

/// Why a block is not a valid environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnvError {
    /// The block has no room for a checksum and an end mark.
    #[error("{} bytes are too few for an environment", Count::from(*length))]
    TooSmall {
        /// The block's length in bytes.
        length: usize,
    },
    /// The checksum does not match the data.
    #[error("bad CRC: stored {}, computed {}", Hex(u64::from(*stored), 8), Hex(u64::from(*computed), 8))]
    BadCrc {
        /// The checksum in the block's first four bytes.
        stored: u32,
        /// The checksum of the data that follows.
        computed: u32,
    },
}

/// Why a variable cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// The name is empty or contains `=` or NUL.
    #[error("a variable's name must not be empty and must not contain '=' or NUL")]
    BadName,
    /// The value contains NUL.
    #[error("a variable's value must not contain NUL")]
    BadValue,
    /// The block is too small.
    #[error("the variables need {} bytes, the block has {}", Count::from(*needed), Count::from(*available))]
    Full {
        /// The size in bytes of all variables including the new one, their NULs and the end mark.
        needed: usize,
        /// The size in bytes of the block's data.
        available: usize,
    },
}

/// Read access to a block with a valid checksum.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    block: &'a [u8],
    format: Format,
}

impl<'a> Env<'a> {
    /// Checks the size and the checksum of a block.
    ///
    /// # Errors
    ///
    /// When the block is too small or its checksum does not match its data.
    pub fn parse(block: &'a [u8], format: Format) -> Result<Self, EnvError> {
        let (stored, computed) = checksums(block, format)?;
        if stored != computed {
            return Err(EnvError::BadCrc { stored, computed });
        }
        Ok(Self { block, format })
    }

    /// Wraps a block already known to be valid.
    pub(crate) fn trusted(block: &'a [u8], format: Format) -> Self {
        Self { block, format }
    }

    /// Returns the flags byte of a redundant copy, `None` for a single copy.
    #[must_use]
    pub fn flags(&self) -> Option<u8> {
        match self.format {
            Format::Single => None,
            Format::Redundant => self.block.get(Format::FLAGS_OFFSET).copied(),
        }
    }

    /// Returns the variables as name and value, in the order of the block. Skips entries without a
    /// `=`.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let block = self.block;
        entries(block, self.format).filter_map(move |entry| split(&block[entry]))
    }

    /// Returns the value of a variable, that of the last entry if the name occurs more than once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .filter_map(|(found, value)| (found == name.as_bytes()).then_some(value))
            .last()
    }

    /// Returns the size in bytes of all variables, including their NULs and the end mark.
    #[must_use]
    pub fn used(&self) -> usize {
        used(self.block, self.format)
    }
}

/// Write access to a block. Only [`seal`](Self::seal) updates the checksum.
#[derive(Debug)]
pub struct EnvMut<'a> {
    block: &'a mut [u8],
    format: Format,
}

impl<'a> EnvMut<'a> {
    /// Checks a block and gives write access to it.
    ///
    /// # Errors
    ///
    /// Those of [`Env::parse`].
    pub fn parse(block: &'a mut [u8], format: Format) -> Result<Self, EnvError> {
        Env::parse(block, format)?;
        Ok(Self { block, format })
    }

    /// Wraps a block already known to be valid, or about to become valid.
    pub(crate) fn trusted(block: &'a mut [u8], format: Format) -> Self {
        Self { block, format }
    }

    /// Clears the block to an environment without variables, padded with 0xff and sealed. The flags
    /// byte of a redundant copy becomes 1, the initial value of U-Boot's tools.
    ///
    /// # Errors
    ///
    /// When the block is too small.
    pub fn clear(block: &'a mut [u8], format: Format) -> Result<Self, EnvError> {
        checksums(block, format)?;
        block.fill(0xff);
        let mut env = Self { block, format };
        let data = env.data();
        // An empty environment also ends with two NULs, like any other.
        env.block[data.start..data.end.min(data.start + 2)].fill(0);
        env.set_flags(1);
        env.seal();
        Ok(env)
    }

    /// Returns the block in its current state for reading.
    #[must_use]
    pub fn as_env(&self) -> Env<'_> {
        Env {
            block: self.block,
            format: self.format,
        }
    }

    /// Sets a variable. An existing variable keeps its place, and the variables after it move if
    /// the length changes; a new one is appended. If a name occurs more than once, the last entry
    /// is set.
    ///
    /// # Errors
    ///
    /// When the name or value cannot be stored, or the block is full. The block is then unchanged.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), SetError> {
        if name.is_empty() || name.bytes().any(|byte| byte == b'=' || byte == 0) {
            return Err(SetError::BadName);
        }
        if value.contains(&0) {
            return Err(SetError::BadValue);
        }
        let end = self.end_of_entries();
        let place = self.find(name).unwrap_or(end..end);
        let length = name.len() + 1 + value.len() + 1;
        self.resize(place.clone(), length)?;
        let entry = &mut self.block[place.start..place.start + length];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        entry[name.len()] = b'=';
        entry[name.len() + 1..length - 1].copy_from_slice(value);
        entry[length - 1] = 0;
        Ok(())
    }

    /// Removes every entry of a variable. Returns whether there was one.
    pub fn unset(&mut self, name: &str) -> bool {
        let mut found = false;
        while let Some(place) = self.find(name) {
            found = true;
            if self.resize(place, 0).is_err() {
                break;
            }
        }
        found
    }

    /// Sets the flags byte of a redundant copy; does nothing to a single copy.
    pub fn set_flags(&mut self, flags: u8) {
        if self.format == Format::Redundant {
            self.block[Format::FLAGS_OFFSET] = flags;
        }
    }

    /// Computes the checksum of the current data and writes it to the block.
    pub fn seal(&mut self) {
        seal(self.block, self.format);
    }

    fn data(&self) -> Range<usize> {
        self.format.data_offset()..self.block.len()
    }

    /// Returns the byte range of the last entry of this name, including its NUL.
    fn find(&self, name: &str) -> Option<Range<usize>> {
        entries(self.block, self.format)
            .filter(|entry| {
                split(&self.block[entry.clone()]).is_some_and(|(found, _)| found == name.as_bytes())
            })
            .last()
            .map(|entry| entry.start..(entry.end + 1).min(self.block.len()))
    }

    /// Returns the offset after the last entry's NUL.
    fn end_of_entries(&self) -> usize {
        entries(self.block, self.format)
            .last()
            .map_or(self.format.data_offset(), |entry| {
                (entry.end + 1).min(self.block.len())
            })
    }

    /// Resizes the entry at `place` to `length` bytes, and moves the entries after it and the end
    /// mark. Freed bytes become padding.
    fn resize(&mut self, place: Range<usize>, length: usize) -> Result<(), SetError> {
        let data = self.data();
        let old_end = self.end_of_entries();
        let tail = place.end..old_end;
        let new_end = place.start + length + tail.len();
        if new_end >= data.end {
            return Err(SetError::Full {
                needed: new_end + 1 - data.start,
                available: data.len(),
            });
        }
        if place.len() == length {
            return Ok(());
        }
        let padding = self.block[data.end - 1];
        self.block.copy_within(tail, place.start + length);
        self.block[new_end] = 0;
        if new_end < old_end {
            self.block[new_end + 1..(old_end + 1).min(data.end)].fill(padding);
        }
        Ok(())
    }
}

/// Computes the checksum of a block's data and writes it to the block.
///
/// # Panics
///
/// When the block is smaller than its format's [`Format::data_offset`].
pub fn seal(block: &mut [u8], format: Format) {
    let crc = checksum(&block[format.data_offset()..]);
    block[..CRC_SIZE].copy_from_slice(&crc.to_le_bytes());
}

/// Returns the stored and the computed checksum.
fn checksums(block: &[u8], format: Format) -> Result<(u32, u32), EnvError> {
    let too_small = EnvError::TooSmall {
        length: block.len(),
    };
    let stored = block.first_chunk::<CRC_SIZE>().ok_or(too_small)?;
    let data = block.get(format.data_offset()..).ok_or(too_small)?;
    if data.len() < 2 {
        return Err(too_small);
    }
    Ok((u32::from_le_bytes(*stored), checksum(data)))
}

/// Returns the byte ranges of the entries in order, without their NULs.
pub(crate) fn entries(
    block: &[u8],
    format: Format,
) -> impl Iterator<Item = Range<usize>> + use<'_> {
    let mut start = format.data_offset();
    core::iter::from_fn(move || {
        let rest = block.get(start..)?;
        let length = rest
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        let entry = start..start + length;
        start = entry.end + 1;
        Some(entry)
    })
}

/// Returns the size in bytes of all entries, including their NULs and the end mark.
fn used(block: &[u8], format: Format) -> usize {
    entries(block, format)
        .map(|entry| entry.len() + 1)
        .sum::<usize>()
        + 1
}

/// Splits an entry into name and value; `None` without a `=`.
pub(crate) fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = entry.iter().position(|byte| *byte == b'=')?;
    Some((&entry[..equals], &entry[equals + 1..]))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn block(format: Format, size: usize, variables: &[(&str, &str)]) -> Vec<u8> {
        let mut block = vec![0; size];
        let mut env = EnvMut::clear(&mut block, format).unwrap();
        for (name, value) in variables {
            env.set(name, value.as_bytes()).unwrap();
        }
        env.seal();
        block
    }

    #[test]
    fn a_sealed_block_reads_back() {
        for format in [Format::Single, Format::Redundant] {
            let block = block(
                format,
                512,
                &[("nerves_fw_active", "a"), ("a.kernel_lba", "2048")],
            );
            let env = Env::parse(&block, format).unwrap();
            assert_eq!(env.get("nerves_fw_active"), Some(&b"a"[..]));
            assert_eq!(env.get("a.kernel_lba"), Some(&b"2048"[..]));
            assert_eq!(env.get("b.kernel_lba"), None);
            assert_eq!(env.iter().count(), 2);
        }
    }

    #[test]
    fn a_flipped_bit_is_found_and_named() {
        let mut block = block(Format::Single, 512, &[("x", "1")]);
        block[300] ^= 1;
        let Err(EnvError::BadCrc { stored, computed }) = Env::parse(&block, Format::Single) else {
            panic!("a damaged block was taken");
        };
        assert_eq!(stored, u32::from_le_bytes(block[..4].try_into().unwrap()));
        assert_ne!(stored, computed);
    }

    #[test]
    fn the_flags_byte_is_not_covered() {
        let mut block = block(Format::Redundant, 512, &[("x", "1")]);
        block[4] = 77;
        assert_eq!(
            Env::parse(&block, Format::Redundant).unwrap().flags(),
            Some(77)
        );
    }

    #[test]
    fn blocks_without_room_are_refused() {
        for length in 0..6 {
            assert_eq!(
                Env::parse(&vec![0; length], Format::Redundant).unwrap_err(),
                EnvError::TooSmall { length }
            );
        }
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        let mut block = block(Format::Single, 512, &[("xx", "1"), ("yy", "2")]);
        let at = block.windows(4).position(|bytes| bytes == b"yy=2").unwrap();
        block[at..at + 2].copy_from_slice(b"xx");
        let mut env = EnvMut {
            block: &mut block,
            format: Format::Single,
        };
        assert_eq!(env.as_env().get("xx"), Some(&b"2"[..]));
        env.set("xx", b"3").unwrap();
        assert_eq!(env.as_env().get("xx"), Some(&b"3"[..]));
        assert!(env.unset("xx"));
        assert_eq!(env.as_env().get("xx"), None);
    }

    #[test]
    fn a_value_of_equal_length_changes_in_place() {
        let mut block = block(
            Format::Single,
            512,
            &[("a", "1"), ("bootcount", "0"), ("z", "9")],
        );
        let before = block.clone();
        let mut env = EnvMut::parse(&mut block, Format::Single).unwrap();
        env.set("bootcount", b"1").unwrap();
        env.seal();
        let changed: Vec<usize> = (4..512).filter(|at| before[*at] != block[*at]).collect();
        assert_eq!(changed.len(), 1);
    }

    #[test]
    fn a_full_block_is_refused_and_left_alone() {
        let mut block = block(Format::Single, 32, &[("a", "1")]);
        let before = block.clone();
        let mut env = EnvMut::parse(&mut block, Format::Single).unwrap();
        let error = env.set("b", &[b'x'; 22]).unwrap_err();
        assert_eq!(
            error,
            SetError::Full {
                needed: 30,
                available: 28
            }
        );
        assert_eq!(before, block);
        let mut env = EnvMut::parse(&mut block, Format::Single).unwrap();
        env.set("b", &[b'x'; 20]).unwrap();
        assert_eq!(env.as_env().used(), 28);
    }

    #[test]
    fn names_and_values_that_would_break_the_block_are_refused() {
        let mut block = block(Format::Single, 512, &[]);
        let mut env = EnvMut::parse(&mut block, Format::Single).unwrap();
        assert_eq!(env.set("", b"1"), Err(SetError::BadName));
        assert_eq!(env.set("a=b", b"1"), Err(SetError::BadName));
        assert_eq!(env.set("a", b"1\x002"), Err(SetError::BadValue));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(block in proptest::collection::vec(any::<u8>(), 0..600)) {
            for format in [Format::Single, Format::Redundant] {
                let _ = Env::parse(&block, format).map(|env| env.iter().count());
                let env = Env { block: &block, format };
                prop_assert!(env.iter().all(|(name, value)| name.len() + value.len() < block.len()));
            }
        }

        #[test]
        fn a_series_of_changes_equals_a_map(
            changes in proptest::collection::vec(("[a-d]{1,2}", proptest::option::of("[ -~]{0,12}")), 0..40),
            redundant: bool,
        ) {
            let format = if redundant { Format::Redundant } else { Format::Single };
            let mut block = vec![0; 128];
            let mut env = EnvMut::clear(&mut block, format).unwrap();
            let mut model: BTreeMap<String, String> = BTreeMap::new();
            for (name, value) in changes {
                match value {
                    Some(value) => {
                        if env.set(&name, value.as_bytes()).is_ok() {
                            model.insert(name, value);
                        }
                    }
                    None => prop_assert_eq!(env.unset(&name), model.remove(&name).is_some()),
                }
            }
            env.seal();
            let env = Env::parse(&block, format).unwrap();
            let found: BTreeMap<_, _> = env.iter().collect();
            let expected: BTreeMap<_, _> = model.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
