// SPDX-License-Identifier: MIT OR Apache-2.0

//! The disk image of a guest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use imagegen::disk::DiskBuilder;
use little_loader_core::slots::slot::Slot;

use super::error::{GuestError, failed};
use super::guest::Guest;
use super::parts::Sources;
use crate::demo::Recipe;
use crate::output;
use crate::paths;

/// A guest's disk image, and its kernel and initrd as files for booting without the loader.
#[derive(Clone, Debug)]
pub struct GuestImage {
    /// The disk.
    pub disk: PathBuf,
    /// The raw kernel.
    pub kernel: PathBuf,
    /// The initrd.
    pub initrd: PathBuf,
}

impl Guest {
    /// Makes the image in the target folder, unless it exists and nothing that it is made from has
    /// changed.
    ///
    /// # Errors
    /// Every [`GuestError`], except of packing an archive.
    pub fn image(&self) -> Result<GuestImage, GuestError> {
        let name = self.file_name();
        self.image_at(&paths::target().join("guests").join(name))
    }

    /// Like [`Guest::image`], but makes `<stem>.img`, `<stem>.kernel` and `<stem>.initrd`; `stem` is
    /// without any of these endings.
    ///
    /// # Errors
    /// Every [`GuestError`], except of packing an archive.
    pub fn image_at(&self, stem: &Path) -> Result<GuestImage, GuestError> {
        let with = |ending: &str| {
            let mut path = stem.as_os_str().to_owned();
            path.push(ending);
            PathBuf::from(path)
        };
        let image = GuestImage {
            disk: with(".img"),
            kernel: with(".kernel"),
            initrd: with(".initrd"),
        };
        let note = with(".json");
        let sources = Sources::gather(self)?;
        let recipe = sources.recipe()?;
        let files = [&image.disk, &image.kernel, &image.initrd];
        if files.into_iter().all(|file| file.is_file())
            && Recipe::read(&note).as_ref() == Some(&recipe)
        {
            return Ok(image);
        }
        // Without the recipe, an incomplete set of files is made anew by the next run.
        match fs::remove_file(&note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&note)(error));
            }
            _ => self.write(&sources, &image)?,
        }
        recipe.write(&note)?;
        Ok(image)
    }

    fn write(&self, sources: &Sources, image: &GuestImage) -> Result<(), GuestError> {
        let parts = sources.make()?;
        for (path, bytes) in [
            (&image.kernel, &parts.kernel.image),
            (&image.initrd, &parts.initrd),
        ] {
            output::write_whole(path, bytes).map_err(failed(path))?;
        }
        let mut builder = DiskBuilder::new(self.layout()?);
        for slot in [Slot::A, Slot::B] {
            builder = builder
                .args(slot, &Self::arguments(slot))
                .kernel(slot, &parts.kernel.image)
                .kernel_room(slot, parts.kernel.bytes_on_disk())
                .initrd(slot, &parts.initrd)
                .rootfs(slot, &parts.rootfs);
        }
        builder.write_to(&image.disk, |_, _| {})?;
        Ok(())
    }
}
