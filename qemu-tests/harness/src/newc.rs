// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes an initrd: an uncompressed cpio archive in the newc format.

use std::io::{self, Write};

use cpio::newc::{self, Builder};

/// File types and permissions, like `st_mode` of stat(2).
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTERS: u32 = 0o020_600;

/// An archive to which entries are added. A folder must be added before its contents.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds an empty folder.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub fn folder(&mut self, name: &str) -> io::Result<()> {
        self.add(name, FOLDER, &[])
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When `content` has 4 GiB or more.
    pub fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.add(name, FILE, content)
    }

    /// Adds a file that can be executed.
    ///
    /// # Errors
    /// When `content` has 4 GiB or more.
    pub fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.add(name, PROGRAM, content)
    }

    /// Adds the node of a character device.
    ///
    /// # Errors
    /// When the entry cannot be written.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) -> io::Result<()> {
        let entry = self.entry(name, CHARACTERS);
        self.write(entry.rdev_major(major).rdev_minor(minor), &[])
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        newc::trailer(self.bytes)
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let entry = self.entry(name, mode);
        self.write(entry, content)
    }

    /// Each entry needs a unique inode number, otherwise the kernel treats two of them as links to
    /// one file.
    fn entry(&mut self, name: &str, mode: u32) -> Builder {
        self.entries += 1;
        Builder::new(name).ino(self.entries).nlink(1).mode(mode)
    }

    fn write(&mut self, entry: Builder, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut writer = entry.write(&mut self.bytes, length);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}
