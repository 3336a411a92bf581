// SPDX-License-Identifier: MIT OR Apache-2.0

//! Errors of making guests.

use std::io;
use std::path::{Path, PathBuf};

use fwup::create::PackError;
use imagegen::disk::DiskError;
use imagegen::layout::LayoutError;
use imagegen::rootfs::RootfsError;
use thiserror::Error;

use crate::build::BuildError;
use crate::demo::DemoError;
use crate::harness::running::RunError;

/// The reason that a guest could not be made.
#[derive(Debug, Error)]
pub enum GuestError {
    /// Erlang is needed, but not in the cache.
    #[error("Erlang is not in the cache; `cargo qemu setup` installs it")]
    NoErlang,
    /// Debian's parts are missing, or cannot be used.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// A program of the guest could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The guest that compiles the agent did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The agent could not be compiled.
    #[error("Erlang could not compile guest/erlang/fleet_agent.erl:\n{0}")]
    Agent(String),
    /// The root file system could not be packed.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// The parts are too large for a disk.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The image could not be assembled.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The firmware archive could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> GuestError {
    let path = path.to_owned();
    move |source| GuestError::Io {
        path: path.clone(),
        source,
    }
}
