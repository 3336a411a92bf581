// SPDX-License-Identifier: MIT OR Apache-2.0

//! The firmware archive of a guest.

use std::env;
use std::fs;
use std::path::Path;

use fwup::archive::write::Level;
use fwup::create::pack;
use fwup::language::Definitions;
use little_loader_core::slots::slot::Slot;

use super::error::{GuestError, failed};
use super::guest::Guest;
use super::parts::{Sources, Start};

const CONFIGURATION: &str = include_str!("../../guest/fwup.conf");

impl Guest {
    /// Packs a firmware archive, unless it exists and nothing that it is made from has changed. Its
    /// task `upgrade` writes this guest to the slot of a disk that is not active and puts it on
    /// trial, `complete` makes the disk.
    ///
    /// # Errors
    /// Every [`GuestError`], except of making an image.
    pub fn archive(&self, sources: &Sources, path: &Path) -> Result<(), GuestError> {
        let mut note = path.as_os_str().to_owned();
        note.push(".json");
        let recipe = sources.recipe(self)?;
        recipe.keep(Path::new(&note), &[path], || self.pack(sources, path))
    }

    fn pack(&self, sources: &Sources, path: &Path) -> Result<(), GuestError> {
        let start = sources.start()?;
        let rootfs = sources.rootfs(self)?;
        let folder = tempfile::tempdir().map_err(failed(&env::temp_dir()))?;
        for (name, bytes) in [
            ("fwup.conf", CONFIGURATION.as_bytes()),
            ("kernel", &start.kernel.image),
            ("initrd", &start.initrd),
            ("rootfs", &rootfs),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).map_err(failed(&path))?;
        }
        let mut definitions = self.definitions(start)?;
        definitions.set("GUEST_PARTS", folder.path().to_string_lossy());
        let configuration = folder.path().join("fwup.conf");
        // Speed matters more than size on the way from the host to its own guests.
        let level = Level::new(3).unwrap_or_default();
        pack(&configuration, path, level, &mut definitions, |_, _| {})?;
        Ok(())
    }

    /// Returns the variables of the configuration, which agree with the image.
    fn definitions(&self, start: &Start) -> Result<Definitions, GuestError> {
        let layout = self.layout()?;
        let mut definitions = Definitions::empty();
        definitions.set("GUEST_VERSION", &self.version);
        definitions.set("INITRD_SIZE", start.initrd.len().to_string());
        let mut number = |name: &str, value: u64| {
            definitions.set(name, value.to_string());
        };
        number("ENV_OFFSET", layout.env.start);
        number("ENV_COUNT", layout.env.count);
        number("ROOTFS_COUNT", layout.rootfs[0].count);
        number("DATA", layout.data.start);
        number("DATA_COUNT", layout.data.count);
        // The loader may read more of the kernel than the file has.
        let after_kernel = start.kernel.bytes_on_disk().next_multiple_of(4096) / 512;
        for (index, slot) in [(0, "A"), (1, "B")] {
            let kernel = layout.kernels[index].start;
            number(&format!("KERNEL_{slot}"), kernel);
            number(&format!("INITRD_{slot}"), kernel + after_kernel);
            number(&format!("ROOTFS_{slot}"), layout.rootfs[index].start);
        }
        for (name, slot) in [("ARGUMENTS_A", Slot::A), ("ARGUMENTS_B", Slot::B)] {
            definitions.set(name, Self::arguments(slot));
        }
        Ok(definitions)
    }
}
