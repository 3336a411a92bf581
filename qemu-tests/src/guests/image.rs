// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk image of a guest.

use std::path::{Path, PathBuf};

use imagegen::disk::DiskBuilder;
use little_loader_core::slots::slot::Slot;

use super::error::GuestError;
use super::guest::{Guest, Kind};
use super::parts::Sources;
use crate::paths;

/// Makes the usual guest of a kind in the target folder, and returns its disk image.
///
/// # Errors
/// Every [`GuestError`], except of packing an archive.
pub fn usual_image(kind: Kind) -> Result<PathBuf, GuestError> {
    let path = paths::target()
        .join("guests")
        .join(kind.name())
        .with_extension("img");
    Guest::new().image(&Sources::gather(kind)?, &path)?;
    Ok(path)
}

impl Guest {
    /// Makes the disk image `path`, unless it exists and nothing that it is made from has changed.
    ///
    /// # Errors
    /// Every [`GuestError`], except of packing an archive.
    pub fn image(&self, sources: &Sources, path: &Path) -> Result<(), GuestError> {
        let note = path.with_extension("json");
        let recipe = sources.recipe(self)?;
        recipe.keep(&note, &[path], || self.write_image(sources, path))
    }

    fn write_image(&self, sources: &Sources, path: &Path) -> Result<(), GuestError> {
        let start = sources.start()?;
        let rootfs = sources.rootfs(self)?;
        let mut builder = DiskBuilder::new(self.layout()?);
        for slot in [Slot::A, Slot::B] {
            builder = builder
                .args(slot, &Self::arguments(slot))
                .kernel(slot, &start.kernel.image)
                .kernel_room(slot, start.kernel.bytes_on_disk())
                .initrd(slot, &start.initrd)
                .rootfs(slot, &rootfs);
        }
        builder.write_to(path, |_, _| {})?;
        Ok(())
    }
}
