// SPDX-License-Identifier: MIT OR Apache-2.0

//! The demo's initrd: busybox, kernel modules, and a script.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use cpio::newc::{self, Builder};

use crate::setup::debian::assets::kit::Kit;

const INIT: &[u8] = include_bytes!("../../guest/initrd-init");

/// File types and permissions, like `st_mode` of stat(2).
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTERS: u32 = 0o020_600;

/// Makes the initrd, an uncompressed cpio archive in the newc format.
///
/// # Errors
/// When a file of `kit` cannot be read.
pub fn make(kit: &Kit) -> io::Result<Vec<u8>> {
    let mut archive = CpioArchive {
        bytes: Vec::new(),
        entries: 0,
    };
    for folder in ["bin", "dev", "modules"] {
        archive.add(folder, FOLDER, &[])?;
    }
    // The kernel opens the console before /dev is mounted; without the node the script would have
    // no output.
    archive.add_device("dev/console", 5, 1)?;
    archive.add("init", PROGRAM, INIT)?;
    archive.add("bin/busybox", PROGRAM, &fs::read(kit.busybox())?)?;
    let mut order = String::new();
    for module in kit.modules() {
        let name = file_name(&module);
        archive.add(&format!("modules/{name}"), FILE, &fs::read(&module)?)?;
        order += &format!("{name}\n");
    }
    archive.add("modules/order", FILE, order.as_bytes())?;
    newc::trailer(archive.bytes)
}

struct CpioArchive {
    bytes: Vec<u8>,
    entries: u32,
}

impl CpioArchive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let entry = self.entry(name, mode);
        self.write(entry, content)
    }

    fn add_device(&mut self, name: &str, major: u32, minor: u32) -> io::Result<()> {
        let entry = self
            .entry(name, CHARACTERS)
            .rdev_major(major)
            .rdev_minor(minor);
        self.write(entry, &[])
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

/// Returns the last component of `path`.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
