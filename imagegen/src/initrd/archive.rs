// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Cursor};

use cpio::NewcBuilder;

use super::busybox::Busybox;

pub(super) const INIT: &[u8] = include_bytes!("init");

/// File types and permissions, as in `st_mode` of stat(2).
pub(super) const FOLDER: u32 = 0o040_755;
pub(super) const PROGRAM: u32 = 0o100_755;
pub(super) const FILE: u32 = 0o100_644;
pub(super) const CHARACTERS: u32 = 0o020_600;

/// The parts of an initrd.
///
/// ```no_run
/// # use std::path::Path;
/// # use imagegen::initrd::{Busybox, Initrd};
/// # use imagegen::modules::ModuleTree;
/// let modules = ModuleTree::open(Path::new("kernel"), None)?.load_order(&["virtio_blk"])?;
/// let mut initrd = Initrd::new(Busybox::new(std::fs::read("busybox")?)?);
/// for module in modules.modules {
///     initrd = initrd.module(module.file_name(), module.contents);
/// }
/// std::fs::write("initrd", initrd.build()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Initrd {
    busybox: Busybox,
    modules: Vec<(String, Vec<u8>)>,
}

impl Initrd {
    /// Starts with an initrd without modules.
    #[must_use]
    pub fn new(busybox: Busybox) -> Self {
        Self {
            busybox,
            modules: Vec::new(),
        }
    }

    /// Adds an uncompressed module, to be loaded after those added before. The name of the file
    /// must be unique.
    #[must_use]
    pub fn module(mut self, file_name: String, contents: Vec<u8>) -> Self {
        self.modules.push((file_name, contents));
        self
    }

    /// Makes the initrd, an uncompressed cpio archive in the newc format. The same parts give the
    /// same bytes.
    ///
    /// # Errors
    ///
    /// When the archive cannot be written.
    pub fn build(self) -> io::Result<Vec<u8>> {
        let entry = |name: &str, mode: u32, contents: Vec<u8>| {
            (NewcBuilder::new(name).mode(mode), Cursor::new(contents))
        };
        let order: String = self
            .modules
            .iter()
            .map(|(name, _)| format!("{name}\n"))
            .collect();
        let mut entries: Vec<_> = ["bin", "dev", "modules"]
            .map(|name| entry(name, FOLDER, Vec::new()))
            .into();
        // The kernel opens the console before /dev is mounted; without the node, the script would
        // have no output.
        let console = NewcBuilder::new("dev/console").mode(CHARACTERS);
        entries.push((console.rdev_major(5).rdev_minor(1), Cursor::default()));
        entries.push(entry("init", PROGRAM, INIT.to_vec()));
        entries.push(entry("bin/busybox", PROGRAM, self.busybox.into_bytes()));
        for (name, contents) in self.modules {
            entries.push(entry(&format!("modules/{name}"), FILE, contents));
        }
        entries.push(entry("modules/order", FILE, order.into_bytes()));
        cpio::write_cpio(entries.into_iter(), Vec::new())
    }
}
