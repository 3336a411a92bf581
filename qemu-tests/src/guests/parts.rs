// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of a guest: kernel, initrd and root file system.

use std::cell::OnceCell;
use std::env;
use std::path::{Path, PathBuf};

use imagegen::kernel::Kernel;

use super::agent;
use super::error::{GuestError, failed};
use super::guest::{Guest, Kind};
use super::rootfs::{self, Programs};
use super::updater;
use crate::build;
use crate::demo::{self, DemoError, Recipe, initrd};
use crate::paths;
use crate::setup::debian::assets::erlang::Erlang;
use crate::setup::debian::assets::kit::Kit;

/// What the guests of one kind are made from.
pub struct Sources {
    kind: Kind,
    kit: Kit,
    erlang: Option<(Erlang, Vec<u8>)>,
    helper: PathBuf,
    updater: Option<PathBuf>,
    start: OnceCell<Start>,
}

/// What starts every guest.
pub(super) struct Start {
    pub(super) kernel: Kernel,
    pub(super) initrd: Vec<u8>,
}

impl Sources {
    /// Finds Debian's files in the cache, and builds the rest.
    ///
    /// # Errors
    /// Every [`GuestError`] of Debian's files, of building, and of compiling the agent.
    pub fn gather(kind: Kind) -> Result<Self, GuestError> {
        let cache = paths::cache();
        let kit = Kit::find(&cache).ok_or(DemoError::NoKit)?;
        let erlang = if kind.has_erlang() {
            let erlang = Erlang::find(&cache).ok_or(GuestError::NoErlang)?;
            let agent = agent::compiled(&kit, &erlang)?;
            Some((erlang, agent))
        } else {
            None
        };
        Ok(Self {
            kind,
            kit,
            erlang,
            helper: build::guest_helper()?,
            updater: updater::make()?,
            start: OnceCell::new(),
        })
    }

    /// Describes everything that `guest` depends on.
    pub(super) fn recipe(&self, guest: &Guest) -> Result<Recipe, GuestError> {
        let mut recipe = Recipe::default();
        // The program contains the guest's scripts.
        let program = env::current_exe().map_err(failed(Path::new("this program")))?;
        recipe.add("program", &program)?;
        let [busybox, kernel] = self.kit.contents_files();
        recipe.add("Debian's busybox", &busybox)?;
        recipe.add("Debian's kernel", &kernel)?;
        recipe.add("helper", &self.helper)?;
        if let Some(updater) = &self.updater {
            recipe.add("updater", updater)?;
        }
        if let Some((erlang, _)) = &self.erlang {
            recipe.add("Erlang", erlang.contents_file())?;
        }
        recipe.add_setting("guest", &format!("{:?} {guest:?}", self.kind));
        Ok(recipe)
    }

    /// Returns the kernel and the initrd.
    pub(super) fn start(&self) -> Result<&Start, GuestError> {
        if let Some(start) = self.start.get() {
            return Ok(start);
        }
        let start = Start {
            kernel: demo::unpacked(&self.kit.kernel())?,
            initrd: initrd::make(&self.kit).map_err(failed(&self.kit.busybox()))?,
        };
        Ok(self.start.get_or_init(|| start))
    }

    /// Makes the root file system of `guest`.
    pub(super) fn rootfs(&self, guest: &Guest) -> Result<Vec<u8>, GuestError> {
        let folder = tempfile::tempdir().map_err(failed(&env::temp_dir()))?;
        let programs = Programs {
            helper: &self.helper,
            updater: self.updater.as_deref(),
            erlang: self
                .erlang
                .as_ref()
                .map(|(erlang, agent)| (erlang, agent.as_slice())),
        };
        rootfs::fill(folder.path(), self.kind, guest, &self.kit, &programs)
            .map_err(failed(folder.path()))?;
        Ok(imagegen::rootfs::load(folder.path())?)
    }
}
