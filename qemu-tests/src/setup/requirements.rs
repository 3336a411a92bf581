// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks and installs the requirements of a purpose.

use thiserror::Error;

use super::debian::assets::{self, Asset, AssetError};
use super::debian::kernels::{DebianKernel, SUITES};
use super::debian::mirrors::Mirrors;
use super::programs::{self, Program, ProgramsError};
use super::purpose::Purpose;
use super::rust_std::{self, RustStdError};
use crate::paths;
use crate::toolchain::{StandardLibrary, TARGET, Toolchain, ToolchainError};

/// The reason that a requirement is still missing.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The toolchain could not be examined.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The bare-metal standard library could not be installed.
    #[error(transparent)]
    RustStd(#[from] RustStdError),
    /// The host's programs could not be installed.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A file from Debian's packages could not be installed.
    #[error(transparent)]
    Asset(#[from] AssetError),
}

/// One requirement and its state.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub name: String,
    /// Where it is, or why it is missing.
    pub detail: String,
    /// Whether it is installed.
    pub ready: bool,
}

/// Checks all requirements of `purpose` and changes nothing.
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
    items.extend(assets(purpose).iter().map(|asset| {
        let folder = asset.folder(&cache);
        match asset.describe(&cache) {
            Some(packages) => ready(
                &asset.name(),
                format!("{packages}, in {}", folder.display()),
            ),
            None => missing(&asset.name(), format!("not in {}", folder.display())),
        }
    }));
    Ok(items)
}

/// Installs the missing requirements of `purpose`.
///
/// # Errors
/// The first requirement that could not be installed, and what to do about it.
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
    for (_, installed) in assets::install(&assets(purpose), &Mirrors::of_system(), &paths::cache())
    {
        installed?;
    }
    Ok(())
}

/// Downloads the missing ones of `kernels`; returns those that are not available, and the reasons.
#[must_use]
pub fn ensure_kernels(kernels: &[DebianKernel]) -> Vec<(DebianKernel, AssetError)> {
    let assets: Vec<Asset> = kernels.iter().copied().map(Asset::Kernel).collect();
    let installed = assets::install(&assets, &Mirrors::of_system(), &paths::cache());
    let failed = installed.into_iter().filter_map(|(asset, installed)| {
        let Asset::Kernel(kernel) = asset else {
            return None;
        };
        Some((kernel, installed.err()?))
    });
    failed.collect()
}

/// Downloads QEMU for arm64 hosts of one of [`SUITES`] if it is missing; other suites are ignored.
///
/// # Errors
/// When it is not available.
pub fn ensure_arm_qemu(suite: &str) -> Result<(), SetupError> {
    let known = SUITES.into_iter().filter(|known| *known == suite);
    let assets: Vec<Asset> = known.map(|suite| Asset::ArmQemu(Some(suite))).collect();
    for (_, installed) in assets::install(&assets, &Mirrors::of_system(), &paths::cache()) {
        installed?;
    }
    Ok(())
}

/// Returns the files from Debian's packages that `purpose` needs.
fn assets(purpose: Purpose) -> Vec<Asset> {
    let boot = [Asset::Busybox, Asset::Kernel(DebianKernel::STOCK)];
    let test = [
        Asset::Kernel(DebianKernel::CLOUD),
        Asset::Installer,
        Asset::ArmQemu(None),
        Asset::Erlang,
    ];
    match purpose {
        Purpose::Build | Purpose::BootOwn | Purpose::Inspect => Vec::new(),
        Purpose::Boot => boot.to_vec(),
        Purpose::Erlang => [&boot[..], &[Asset::Erlang]].concat(),
        Purpose::KvmHost => [&boot[..], &[Asset::ArmQemu(None)]].concat(),
        Purpose::Compare => [boot, [Asset::UBoot, Asset::Edk2]].concat(),
        Purpose::Test | Purpose::TestAll | Purpose::Everything => [&boot[..], &test].concat(),
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
