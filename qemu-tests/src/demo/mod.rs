// SPDX-License-Identifier: MIT OR Apache-2.0

//! The image that `cargo qemu boot` boots: Debian's kernel, an initrd that finds the disk, and
//! busybox, or the user's replacements of these, in both slots.

pub mod initrd;
pub mod kvm_host;
mod recipe;
pub mod rootfs;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use imagegen::disk::{DiskBuilder, DiskError};
use imagegen::kernel::{Kernel, KernelError};
use imagegen::layout::{Layout, LayoutError, Sizes};
use imagegen::rootfs::RootfsError;
use imagegen::size::Size;
use little_loader_core::slots::slot::Slot;
use thiserror::Error;

use crate::output;
use crate::paths;
use crate::setup::debian::assets::kit::Kit;

pub(crate) use recipe::Recipe;

/// The reason that the demo image could not be created.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Debian's parts are needed, but not in the cache.
    #[error("Debian's kernel and busybox are not in the cache; `cargo qemu setup` installs them")]
    NoKit,
    /// QEMU for arm64 hosts is needed, but not in the cache.
    #[error("QEMU for arm64 hosts is not in the cache; `cargo qemu setup` installs it")]
    NoQemu,
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel has a format that cannot be booted.
    #[error("{path} cannot be booted")]
    Kernel {
        /// The kernel.
        path: PathBuf,
        /// Its actual kind.
        source: KernelError,
    },
    /// The root file system could not be created.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// The parts are too large for a disk.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The image could not be assembled.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The user's own parts, in place of Debian's.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// An arm64 Image, raw or compressed.
    pub kernel: Option<PathBuf>,
    /// An initrd; without it, the user's own kernel boots without an initrd.
    pub initrd: Option<PathBuf>,
    /// A squashfs, or a folder to make one from.
    pub rootfs: Option<PathBuf>,
}

/// A demo image.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The disk.
    pub image: PathBuf,
    /// The raw kernel, for booting without the loader.
    pub kernel: PathBuf,
    /// The initrd, if there is one.
    pub initrd: Option<PathBuf>,
}

impl Demo {
    /// Creates `target/demo.img`, unless it exists and none of its inputs has changed.
    ///
    /// # Errors
    /// Every [`DemoError`].
    pub fn make(parts: &Parts) -> Result<Self, DemoError> {
        Self::make_at(parts, &paths::target().join("demo"))
    }

    /// Like [`Demo::make`], but creates `<stem>.img`.
    ///
    /// # Errors
    /// Every [`DemoError`].
    pub fn make_at(parts: &Parts, stem: &Path) -> Result<Self, DemoError> {
        Self::make_with(parts, Kit::find(&paths::cache()).as_ref(), stem)
    }

    /// Like [`Demo::make_at`], but with the Debian parts from `kit`.
    ///
    /// # Errors
    /// Every [`DemoError`].
    pub fn make_with(parts: &Parts, kit: Option<&Kit>, stem: &Path) -> Result<Self, DemoError> {
        let has_initrd = parts.initrd.is_some() || parts.kernel.is_none();
        let demo = Self {
            image: stem.with_extension("img"),
            kernel: stem.with_extension("kernel"),
            initrd: has_initrd.then(|| stem.with_extension("initrd")),
        };
        let recipe = recipe(parts, kit)?;
        let note = stem.with_extension("json");
        let files = [Some(&demo.image), Some(&demo.kernel), demo.initrd.as_ref()];
        let files: Vec<&Path> = files.into_iter().flatten().map(PathBuf::as_path).collect();
        recipe.keep(&note, &files, || demo.write(parts, kit))?;
        Ok(demo)
    }

    fn write(&self, parts: &Parts, kit: Option<&Kit>) -> Result<(), DemoError> {
        let debian = || kit.ok_or(DemoError::NoKit);
        let kernel = unpacked(
            &parts
                .kernel
                .clone()
                .map_or_else(|| debian().map(Kit::kernel), Ok)?,
        )?;
        let initrd = match (&parts.initrd, &self.initrd) {
            (Some(path), _) => Some(fs::read(path).map_err(failed(path))?),
            (None, Some(path)) => Some(initrd::make(debian()?).map_err(failed(path))?),
            (None, None) => None,
        };
        let rootfs = match &parts.rootfs {
            Some(path) => imagegen::rootfs::load(path)?,
            None => {
                let folder = tempfile::tempdir().map_err(failed(&env::temp_dir()))?;
                rootfs::fill(folder.path(), debian()?).map_err(failed(folder.path()))?;
                imagegen::rootfs::load(folder.path())?
            }
        };
        output::write_whole(&self.kernel, &kernel.image).map_err(failed(&self.kernel))?;
        if let (Some(path), Some(initrd)) = (&self.initrd, &initrd) {
            output::write_whole(path, initrd).map_err(failed(path))?;
        }

        let initrd_length = initrd.as_ref().map_or(0, Vec::len) as u64;
        let sizes = Sizes {
            kernel: room(
                Sizes::default().kernel,
                kernel.bytes_on_disk() + initrd_length,
            ),
            rootfs: room(Sizes::default().rootfs, rootfs.len() as u64),
            ..Sizes::default()
        };
        let mut builder = DiskBuilder::new(Layout::new(&sizes)?);
        for slot in [Slot::A, Slot::B] {
            builder = builder
                .kernel(slot, &kernel.image)
                .kernel_room(slot, kernel.bytes_on_disk());
            builder = builder.rootfs(slot, &rootfs);
            if let Some(initrd) = &initrd {
                builder = builder.initrd(slot, initrd);
            }
        }
        builder.write_to(&self.image, |_, _| {})?;
        Ok(())
    }
}

/// Returns what the demo is made from.
fn recipe(parts: &Parts, kit: Option<&Kit>) -> Result<Recipe, DemoError> {
    let mut recipe = Recipe::default();
    // The program contains the guest's scripts and the code that creates the image.
    let program = env::current_exe().map_err(failed(Path::new("this program")))?;
    let [busybox, kernel] = match kit.map(Kit::contents_files) {
        Some([busybox, kernel]) => [Some(busybox), Some(kernel)],
        None => [None, None],
    };
    let all = [
        ("program", Some(&program)),
        ("Debian's busybox", busybox.as_ref()),
        ("Debian's kernel", kernel.as_ref()),
        ("kernel", parts.kernel.as_ref()),
        ("initrd", parts.initrd.as_ref()),
        ("rootfs", parts.rootfs.as_ref()),
    ];
    for (role, path) in all
        .into_iter()
        .filter_map(|(role, path)| Some((role, path?)))
    {
        recipe.add(role, path)?;
    }
    Ok(recipe)
}

/// Reads a kernel, and unpacks it if it is packed.
pub(crate) fn unpacked(path: &Path) -> Result<Kernel, DemoError> {
    let packed = fs::read(path).map_err(failed(path))?;
    Kernel::unpack(packed).map_err(|source| DemoError::Kernel {
        path: path.to_owned(),
        source,
    })
}

/// Returns `usual`, or `needed` rounded up to whole MiB plus one more for rounding and the
/// alignment of the initrd, if that is larger.
pub(crate) fn room(usual: Size, needed: u64) -> Size {
    const MIB: u64 = 1 << 20;
    Size(usual.0.max(needed.next_multiple_of(MIB) + MIB))
}

pub(crate) fn failed(path: &Path) -> impl Fn(io::Error) -> DemoError {
    let path = path.to_owned();
    move |source| DemoError::Io {
        path: path.clone(),
        source,
    }
}
