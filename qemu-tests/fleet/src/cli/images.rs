// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the command line gets its loader and its images.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::folder::Folder;

/// A kind of guest that an [`Images`] may be able to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GuestKind {
    /// Erlang on Debian's kernel
    #[default]
    Erlang,
    /// The same with an Elixir shell
    Elixir,
    /// Debian's kernel and busybox
    Linux,
}

/// An image that was made, and what is known about its guests.
#[derive(Clone, Debug, Default)]
pub struct GuestImage {
    /// The raw disk image.
    pub path: PathBuf,
    /// The RAM that a guest needs, in MiB.
    pub memory_mib: Option<u32>,
}

/// Makes what the user does not name: the loader and the guests' image.
pub trait Images {
    /// Returns the loader, an ELF.
    ///
    /// # Errors
    /// When it cannot be built.
    fn loader(&self) -> Result<PathBuf>;

    /// Returns an image of guests of this kind.
    ///
    /// # Errors
    /// When it cannot be made.
    fn image(&self, kind: GuestKind) -> Result<GuestImage>;

    /// Returns the usual state folder.
    fn state(&self) -> PathBuf {
        Folder::usual()
    }

    /// Returns the words between the executable and the fleet's subcommand.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Makes nothing: the user names loader and image.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoImages;

impl Images for NoImages {
    fn loader(&self) -> Result<PathBuf> {
        bail!("no loader: add --loader FILE, an ELF that `cargo qemu build` makes")
    }

    fn image(&self, _: GuestKind) -> Result<GuestImage> {
        bail!(
            "no image: add --image FILE, a disk that `imagegen disk` makes; `cargo qemu fleet` makes images itself (--guest)"
        )
    }
}
