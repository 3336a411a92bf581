// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of a guest: kernel, initrd and root file system.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use imagegen::kernel::Kernel;

use super::agent;
use super::error::{GuestError, failed};
use super::guest::Guest;
use super::rootfs::{self, Programs};
use super::updater;
use crate::build;
use crate::demo::{DemoError, Recipe, initrd};
use crate::paths;
use crate::setup::debian::assets::erlang::Erlang;
use crate::setup::debian::assets::kit::Kit;

/// What the parts are made from.
pub(super) struct Sources {
    guest: Guest,
    kit: Kit,
    erlang: Option<(Erlang, Vec<u8>)>,
    helper: PathBuf,
    updater: Option<PathBuf>,
}

/// The parts of a slot.
pub(super) struct Parts {
    pub(super) kernel: Kernel,
    pub(super) initrd: Vec<u8>,
    pub(super) rootfs: Vec<u8>,
}

impl Sources {
    /// Finds Debian's files in the cache, and builds the rest.
    pub(super) fn gather(guest: &Guest) -> Result<Self, GuestError> {
        let cache = paths::cache();
        let kit = Kit::find(&cache).ok_or(DemoError::NoKit)?;
        let erlang = if guest.kind.has_erlang() {
            let erlang = Erlang::find(&cache).ok_or(GuestError::NoErlang)?;
            let agent = agent::compiled(&kit, &erlang)?;
            Some((erlang, agent))
        } else {
            None
        };
        Ok(Self {
            guest: guest.clone(),
            kit,
            erlang,
            helper: build::guest_helper()?,
            updater: updater::make()?,
        })
    }

    /// Describes everything that the parts depend on.
    pub(super) fn recipe(&self) -> Result<Recipe, GuestError> {
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
        recipe.add_setting("guest", &format!("{:?}", self.guest));
        Ok(recipe)
    }

    /// Makes the parts.
    pub(super) fn make(&self) -> Result<Parts, GuestError> {
        let path = self.kit.kernel();
        let packed = fs::read(&path).map_err(failed(&path))?;
        let kernel = Kernel::unpack(packed).map_err(|source| DemoError::Kernel { path, source })?;
        let initrd = initrd::make(&self.kit).map_err(failed(&self.kit.busybox()))?;
        let folder = tempfile::tempdir().map_err(failed(&env::temp_dir()))?;
        let programs = Programs {
            helper: &self.helper,
            updater: self.updater.as_deref(),
            erlang: self
                .erlang
                .as_ref()
                .map(|(erlang, agent)| (erlang, agent.as_slice())),
        };
        rootfs::fill(folder.path(), &self.guest, &self.kit, &programs)
            .map_err(failed(folder.path()))?;
        Ok(Parts {
            kernel,
            initrd,
            rootfs: imagegen::rootfs::load(folder.path())?,
        })
    }
}
