// SPDX-License-Identifier: MIT OR Apache-2.0

//! The settings of a fleet, which all its guests share, stored as `fleet.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use imagegen::env_file::DEFAULT_PLACE;
use imagegen::loader_elf::LoaderElf;
use little_loader_core::env::place::EnvPlace;
use qemu_harness::machine::Accelerator;
use serde::{Deserialize, Serialize};

use crate::clones::Clones;
use crate::error::FleetError;
use crate::placement::Pin;

/// The settings of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The read-only image that all disks are overlays of, an absolute path.
    pub image: ImageFile,
    /// The loader, an absolute path.
    pub loader: PathBuf,
    /// QEMU: a program on the `PATH`, or an absolute path.
    pub qemu: PathBuf,
    /// The accelerator's name: `tcg`, `kvm` or `hvf`.
    pub accelerator: String,
    /// The guests' CPU model under emulation.
    pub cpu: String,
    /// The guests' RAM in MiB.
    pub memory_mib: u32,
    /// The size of the buffer for translated code under emulation, in MiB.
    pub tb_size_mib: u32,
    /// Whether guests have a network card.
    pub net: bool,
    /// Added to the kernel's command line.
    pub append: Option<String>,
    /// A text on the console that means that the guest is up, in addition to those known.
    pub up_line: Option<String>,
    /// How much of a guest's console is kept, at most, in MiB; 0 sets no limit.
    #[serde(default = "usual_console_limit")]
    pub console_limit_mib: u32,
    /// Whether guests give free memory back to the host.
    #[serde(default)]
    pub free_page_reporting: bool,
    /// The number of the first guest; a fleet that is part of a larger one begins after the others.
    #[serde(default = "usual_first")]
    pub first: u32,
    /// The host's memory that guests must leave free, in MiB.
    pub reserve_mib: u64,
    /// How many guests may boot at the same time; 0 sets no limit.
    pub max_booting: u32,
    /// How guests are distributed over the host's CPUs.
    pub pin: Pin,
    /// How guests become clones of a template; without it, each boots.
    #[serde(default)]
    pub clones: Option<Clones>,
    /// Whether the host merges equal pages of guests.
    #[serde(default)]
    pub ksm: bool,
    /// Further arguments for QEMU.
    pub qemu_arguments: Vec<String>,
}

fn usual_first() -> u32 {
    1
}

/// The usual limit of a console's log, in MiB: hundreds of boots.
pub const CONSOLE_LIMIT: u32 = 4;

fn usual_console_limit() -> u32 {
    CONSOLE_LIMIT
}

impl Settings {
    /// Returns the accelerator.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator.parse().unwrap_or_default()
    }

    /// Returns where the loader looks for the environment: its built-in settings, or the defaults for
    /// a flat binary, which has none that can be read.
    #[must_use]
    pub fn env_place(&self) -> EnvPlace {
        let elf = fs::read(&self.loader).ok().map(LoaderElf::parse);
        let settings = elf.and_then(|elf| elf.ok()?.settings().ok());
        settings.map_or(DEFAULT_PLACE, |settings| settings.env)
    }

    /// Reads `path`, unless it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read, or has other contents.
    pub fn read(path: &Path) -> Result<Option<Self>, FleetError> {
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(path).map_err(FleetError::io("read", path))?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| FleetError::Corrupt {
                path: path.to_owned(),
                text: error.to_string(),
            })
    }

    /// Writes `path`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FleetError> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| FleetError::Corrupt {
            path: path.to_owned(),
            text: error.to_string(),
        })?;
        let new = path.with_extension("new");
        fs::write(&new, text).map_err(FleetError::io("write", &new))?;
        fs::rename(&new, path).map_err(FleetError::io("write", path))
    }
}

/// An image, and what it was when the overlays were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// The absolute path.
    pub path: PathBuf,
    /// The length in bytes.
    pub length: u64,
    /// The time of the last change, in nanoseconds since 1970.
    pub modified: u64,
}

impl ImageFile {
    /// Examines the image at `path`.
    ///
    /// # Errors
    /// When it cannot be found.
    pub fn of(path: &Path) -> Result<Self, FleetError> {
        let find = |source| FleetError::Io {
            action: "find the image",
            path: path.to_owned(),
            source,
        };
        let path = path.canonicalize().map_err(find)?;
        let metadata = path.metadata().map_err(find)?;
        let modified = metadata.modified().map_err(find)?;
        let age = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            path,
            length: metadata.len(),
            modified: u64::try_from(age.as_nanos()).unwrap_or(u64::MAX),
        })
    }
}
