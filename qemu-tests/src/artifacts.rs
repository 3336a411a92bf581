// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binaries for the QEMU tests, all built before the first test runs: a concurrent compiler
//! would make their time limits unreliable.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::build::{self, BuildError, LoaderBuild, OPT_LEVELS, Profile};
use crate::guests::{Guest, GuestError, Kind, Sources};
use crate::paths;

/// The folder with the artifacts. `cargo qemu test` sets the variable after building them, so tests
/// never use outdated ones.
pub const VARIABLE: &str = "LITTLE_LOADER_TEST_ARTIFACTS";

/// If set, slow tests run as well.
pub const ALL: &str = "LITTLE_LOADER_TEST_ALL";

/// If set, the accelerator of the tests' machines, `kvm` or `hvf`; else they are emulated.
pub const ACCELERATOR: &str = "LITTLE_LOADER_TEST_ACCEL";

/// If set, the tests with the kernels of every suite run as well.
pub const ALL_KERNELS: &str = "LITTLE_LOADER_TEST_ALL_KERNELS";

/// The version of the guests' updates; an image has version 1.0.0.
pub const UPDATED: &str = "2.0.0";

/// The reason that an artifact could not be made.
#[derive(Debug, Error)]
pub enum ArtifactsError {
    /// A bare-metal binary could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A guest could not be made.
    #[error(transparent)]
    Guest(#[from] GuestError),
}

/// The folder with the binaries.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// Builds everything.
    ///
    /// # Errors
    /// The first thing that could not be built.
    pub fn build() -> Result<Self, ArtifactsError> {
        let artifacts = Self {
            folder: paths::target().join("qemu-tests"),
        };
        build::payload(&artifacts.payload())?;
        let release = LoaderBuild::default();
        for level in OPT_LEVELS {
            let build = LoaderBuild {
                opt_level: Some(level.to_owned()),
                ..release.clone()
            };
            build::loader(&build, &artifacts.stem(&format!("loader-{level}")))?;
        }
        let dev = LoaderBuild {
            profile: Profile::Dev,
            ..release.clone()
        };
        build::loader(&dev, &artifacts.stem("loader-dev"))?;
        let quiet = LoaderBuild {
            quiet: true,
            ..release.clone()
        };
        build::loader(&quiet, &artifacts.stem("loader-quiet"))?;
        let trace = LoaderBuild {
            trace: true,
            ..release.clone()
        };
        build::loader(&trace, &artifacts.stem("loader-trace"))?;
        build::loader(&release, &artifacts.stem("loader"))?;
        let sources = Sources::gather(Kind::Erlang)?;
        Guest::new().image(&sources, &artifacts.erlang())?;
        let updated = Guest::new().version(UPDATED);
        updated.archive(&sources, &artifacts.good_update())?;
        updated.bad().archive(&sources, &artifacts.bad_update())?;
        Ok(artifacts)
    }

    /// Builds what only the slow tests need.
    ///
    /// # Errors
    /// The first thing that could not be built.
    pub fn build_for_slow_tests(&self) -> Result<(), ArtifactsError> {
        for (kind, image) in [(Kind::Elixir, self.elixir()), (Kind::Linux, self.linux())] {
            Guest::new().image(&Sources::gather(kind)?, &image)?;
        }
        Ok(())
    }

    /// Uses the artifacts in `folder`, built earlier.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder that contains them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The payload's Image.
    #[must_use]
    pub fn payload(&self) -> PathBuf {
        self.folder.join("payload.img")
    }

    /// The loader as shipped, an ELF.
    #[must_use]
    pub fn loader(&self) -> PathBuf {
        self.folder.join("loader.elf")
    }

    /// The loader as shipped, a flat Image.
    #[must_use]
    pub fn flat_loader(&self) -> PathBuf {
        self.folder.join("loader.bin")
    }

    /// The loader that prints only warnings and errors (`quiet`), an ELF.
    #[must_use]
    pub fn quiet_loader(&self) -> PathBuf {
        self.folder.join("loader-quiet.elf")
    }

    /// The loader that narrates (`trace`), an ELF.
    #[must_use]
    pub fn trace_loader(&self) -> PathBuf {
        self.folder.join("loader-trace.elf")
    }

    /// The loader of the dev profile, an ELF.
    #[must_use]
    pub fn dev_loader(&self) -> PathBuf {
        self.folder.join("loader-dev.elf")
    }

    /// The loader of one of [`OPT_LEVELS`], an ELF.
    #[must_use]
    pub fn loader_at(&self, level: &str) -> PathBuf {
        self.folder.join(format!("loader-{level}.elf"))
    }

    /// The disk image of a guest with Erlang.
    #[must_use]
    pub fn erlang(&self) -> PathBuf {
        self.folder.join("erlang.img")
    }

    /// The disk image of a guest with Elixir; only the slow tests have it.
    #[must_use]
    pub fn elixir(&self) -> PathBuf {
        self.folder.join("elixir.img")
    }

    /// The disk image of a guest with only a shell; only the slow tests have it.
    #[must_use]
    pub fn linux(&self) -> PathBuf {
        self.folder.join("linux.img")
    }

    /// A firmware archive that upgrades the guest with Erlang to version [`UPDATED`].
    #[must_use]
    pub fn good_update(&self) -> PathBuf {
        self.folder.join("erlang-good.fw")
    }

    /// The same with a guest that never ends its trial.
    #[must_use]
    pub fn bad_update(&self) -> PathBuf {
        self.folder.join("erlang-bad.fw")
    }

    fn stem(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
