// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk in memory for the tests.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it"
)]

pub(crate) mod checker;

use std::collections::BTreeMap;
use std::io;

use fat_volume::{BLOCK, Storage};

/// A disk that stores only blocks that are not zero, and that can lose its power.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) blocks: BTreeMap<u64, [u8; BLOCK]>,
    /// The size in blocks.
    pub(crate) size: u64,
    /// The blocks written so far; after so many all writes are lost.
    pub(crate) written: u64,
    pub(crate) power: Option<u64>,
    /// The calls of `write_at`.
    pub(crate) writes: u64,
}

impl Disk {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            size,
            ..Self::default()
        }
    }

    pub(crate) fn from_image(image: &[u8]) -> Self {
        let mut disk = Self::new((image.len() / BLOCK) as u64);
        disk.write_at(0, &image[..image.len() / BLOCK * BLOCK])
            .unwrap();
        disk.written = 0;
        disk
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        let mut image = vec![0; self.size as usize * BLOCK];
        for (&block, data) in &self.blocks {
            image[block as usize * BLOCK..][..BLOCK].copy_from_slice(data);
        }
        image
    }

    fn check(&self, offset: u64, length: usize) -> io::Result<u64> {
        assert_eq!(offset % BLOCK as u64, 0);
        assert_eq!(length % BLOCK, 0);
        let block = offset / BLOCK as u64;
        if block + (length / BLOCK) as u64 > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(block)
    }
}

impl Storage for Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = self.check(offset, out.len())?;
        for (block, out) in (start..).zip(out.chunks_mut(BLOCK)) {
            out.copy_from_slice(self.blocks.get(&block).unwrap_or(&[0; BLOCK]));
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = self.check(offset, data.len())?;
        self.writes += 1;
        for (block, data) in (start..).zip(data.chunks(BLOCK)) {
            if self.power.is_some_and(|power| self.written >= power) {
                break;
            }
            self.written += 1;
            if data.iter().all(|&byte| byte == 0) {
                self.blocks.remove(&block);
            } else {
                self.blocks.insert(block, data.try_into().unwrap());
            }
        }
        Ok(())
    }

    fn discard(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let start = self.check(offset, 0)?;
        let end = start + length / BLOCK as u64;
        if self.power.is_none() {
            let later = self.blocks.split_off(&end.max(start));
            self.blocks.split_off(&start);
            self.blocks.extend(later);
        }
        Ok(())
    }
}

/// The contents of the files named `pattern-LENGTH`.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}
