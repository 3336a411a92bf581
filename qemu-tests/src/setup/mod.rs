// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finding and installing what building, booting and testing need.
//!
//! Everything is looked for on each run, by looking at files only, so that a run with nothing to do takes no time.
//! What is missing comes from the system's apt (programs), from rustup or a Debian archive (the bare-metal standard
//! library) and from a Debian archive (kernels and busybox for the guest), with a line on stderr for each step.

pub mod archive;
pub mod kernels;
pub mod kit;
mod modules;
pub mod parcel;
pub mod private_qemu;
pub mod programs;
pub mod rust_std;
pub mod sources;

use std::env;
use std::path::Path;

use thiserror::Error;

use crate::paths;
use crate::toolchain::{StandardLibrary, TARGET, Toolchain, ToolchainError};
use kernels::DebianKernel;
use parcel::{Parcel, ParcelError};
use programs::{Program, ProgramsError};
use rust_std::RustStdError;
use sources::Source;

/// What a command is going to do, which decides what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Build the loader.
    Build,
    /// Build and boot with files that the user brings.
    BootOwn,
    /// Build and boot Debian's kernel.
    Boot,
    /// Boot it in other ways, too.
    Compare,
    /// Run every test.
    Test,
    /// Build the loader and look into it with LLVM's tools.
    Inspect,
    /// All of that.
    Everything,
}

/// Why something is still missing.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The toolchain could not be examined.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The bare-metal standard library.
    #[error(transparent)]
    RustStd(#[from] RustStdError),
    /// Programs of the host.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// The guest's kernels and busybox.
    #[error(transparent)]
    Parcel(#[from] ParcelError),
}

/// One thing that is needed.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub name: String,
    /// Where it is, or why not.
    pub detail: String,
    /// Whether it is there.
    pub ready: bool,
}

/// The Debian archives to download from.
#[derive(Clone, Debug)]
pub struct Mirrors {
    sources: Vec<Source>,
}

impl Mirrors {
    /// `LITTLE_LOADER_DEBIAN_MIRROR` (a URL and nothing else, signed by a key that apt trusts) if set, else the Debian
    /// archives among the sources of the system's apt.
    #[must_use]
    pub fn of_system() -> Self {
        if let Ok(uri) = env::var("LITTLE_LOADER_DEBIAN_MIRROR") {
            let components = vec!["main".to_owned()];
            let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
            let signed_by = Path::new(keyring).is_file().then(|| keyring.to_owned());
            return Self {
                sources: vec![Source {
                    signed_by,
                    uri,
                    suite: "stable".to_owned(),
                    components,
                }],
            };
        }
        let mut sources = sources::read(Path::new("/etc/apt"));
        sources.retain(Source::is_debian);
        Self { sources }
    }

    /// The main archive.
    #[must_use]
    pub fn debian(&self) -> Option<&Source> {
        self.sources.iter().find(|source| !source.is_security())
    }

    /// Everything the system itself would be updated from.
    #[must_use]
    pub fn all(&self) -> &[Source] {
        &self.sources
    }
}

/// Says on stderr what setup is doing.
fn step(what: &str) {
    eprintln!("setup: {what}");
}

/// Looks at everything `purpose` needs and changes nothing.
///
/// # Errors
/// When the toolchain cannot be examined.
pub fn check(purpose: Purpose) -> Result<Vec<Item>, SetupError> {
    let toolchain = Toolchain::query()?;
    let mut items = vec![library_item(&toolchain)];
    items.extend(
        programs::needed(purpose)
            .iter()
            .map(|program| program_item(program, &toolchain)),
    );
    let cache = paths::cache();
    items.extend(parcels(purpose).iter().map(|parcel| {
        let folder = parcel.folder(&cache);
        match parcel.describe(&cache) {
            Some(packages) => ready(
                &parcel.name(),
                format!("{packages}, in {}", folder.display()),
            ),
            None => missing(&parcel.name(), format!("not in {}", folder.display())),
        }
    }));
    Ok(items)
}

/// Installs what `purpose` needs and is not there.
///
/// # Errors
/// The first thing that could not be installed, and what to do about it.
pub fn ensure(purpose: Purpose) -> Result<(), SetupError> {
    let toolchain = Toolchain::query()?;
    let programs = programs::needed(purpose);
    let absent: Vec<&Program> = programs
        .iter()
        .copied()
        .filter(|program| program.find(&toolchain).is_none())
        .collect();
    if !absent.is_empty() {
        programs::install(&absent, &toolchain)?;
    }
    if toolchain.standard_library().is_none() {
        rust_std::install(&toolchain, &Mirrors::of_system(), &paths::cache())?;
    }
    for (_, installed) in parcel::install(&parcels(purpose), &Mirrors::of_system(), &paths::cache())
    {
        installed?;
    }
    Ok(())
}

/// Downloads those of `kernels` that are not there, and gives back those that cannot be had and why.
#[must_use]
pub fn ensure_kernels(kernels: &[DebianKernel]) -> Vec<(DebianKernel, ParcelError)> {
    let parcels: Vec<Parcel> = kernels.iter().copied().map(Parcel::Kernel).collect();
    let installed = parcel::install(&parcels, &Mirrors::of_system(), &paths::cache());
    let failed = installed.into_iter().filter_map(|(parcel, installed)| {
        let Parcel::Kernel(kernel) = parcel else {
            return None;
        };
        Some((kernel, installed.err()?))
    });
    failed.collect()
}

/// What comes from Debian's packages.
fn parcels(purpose: Purpose) -> Vec<Parcel> {
    let boot = [Parcel::Busybox, Parcel::Kernel(DebianKernel::STOCK)];
    let test = [Parcel::Kernel(DebianKernel::CLOUD), Parcel::Installer];
    match purpose {
        Purpose::Build | Purpose::BootOwn | Purpose::Inspect => Vec::new(),
        Purpose::Boot => boot.to_vec(),
        Purpose::Compare => [boot, [Parcel::UBoot, Parcel::Edk2]].concat(),
        Purpose::Test | Purpose::Everything => [boot, test].concat(),
    }
}

fn library_item(toolchain: &Toolchain) -> Item {
    let name = "bare-metal library";
    match toolchain.standard_library() {
        Some(StandardLibrary::Prebuilt) => {
            ready(name, format!("{TARGET} of rustc {}", toolchain.version))
        }
        Some(StandardLibrary::Source) => ready(
            name,
            format!("sources at {}", toolchain.source_folder().display()),
        ),
        None => missing(
            name,
            format!("rustc {} has none for {TARGET}", toolchain.version),
        ),
    }
}

fn program_item(program: &Program, toolchain: &Toolchain) -> Item {
    match program.find(toolchain) {
        Some(path) => ready(program.name, path.display().to_string()),
        None => missing(
            program.name,
            format!("of Debian's package {}", program.package),
        ),
    }
}

fn ready(name: &str, detail: String) -> Item {
    Item {
        name: name.to_owned(),
        detail,
        ready: true,
    }
}

fn missing(name: &str, detail: String) -> Item {
    Item {
        name: name.to_owned(),
        detail,
        ready: false,
    }
}
