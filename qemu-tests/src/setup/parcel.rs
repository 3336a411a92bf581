// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the cache holds of Debian's packages: a folder for each thing, with the files that are used and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::archive::{self, Archive, ArchiveError};
use super::kernels::DebianKernel;
use super::modules::{self, ModulesError};
use super::sources::Source;
use super::{Mirrors, step};

/// The folder under the cache; a new name makes old caches be fetched again.
const FOLDER: &str = "debian-2";
/// Which packages a parcel came from; written before the folder gets its name.
const CONTENTS: &str = "contents.json";

/// The release whose installer is tested.
const INSTALLER_SUITE: &str = "bookworm";
const INSTALLER: &str = "debian-installer-12-netboot-arm64";

/// Why a parcel is not there.
#[derive(Debug, Error)]
pub enum ParcelError {
    /// There is nowhere to get it from.
    #[error(
        "there is no Debian archive among apt's sources to get arm64 kernels and busybox from; give `cargo qemu boot` \
         your own by --kernel, --initrd and --rootfs, or set LITTLE_LOADER_DEBIAN_MIRROR to the URL of a Debian archive"
    )]
    NoArchive,
    /// The archive could not be reached, or its lists lack a package.
    #[error(
        "{suites} of {uri} has no package {package} for arm64, or cannot be reached (`cargo qemu boot` also takes a kernel \
         of your own, by --kernel, --initrd and --rootfs)"
    )]
    NoPackage {
        /// The archive.
        uri: String,
        /// The suites that were looked at.
        suites: String,
        /// The package.
        package: String,
    },
    /// A package could not be downloaded or unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The kernel package is not as expected.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// The cache could not be written.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Something that comes out of Debian's packages for arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A shell and what belongs to it, statically linked.
    Busybox,
    /// A kernel with the modules that the demo needs.
    Kernel(DebianKernel),
    /// U-Boot for QEMU's `virt` machine.
    UBoot,
    /// EDK2 for QEMU's `virt` machine.
    Edk2,
    /// Kernel and initrd of the network installer, with the text interface.
    Installer,
}

/// What `contents.json` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Contents {
    pub(super) packages: Vec<Package>,
    /// Modules to load, in this order.
    #[serde(default)]
    pub(super) modules: Vec<String>,
    /// Modules that wait for somebody to ask for the last of them, in the order in which they load.
    #[serde(default)]
    pub(super) on_demand: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

impl Parcel {
    /// For people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Busybox => "busybox".to_owned(),
            Self::Kernel(kernel) => format!("kernel {}", kernel.id()),
            Self::UBoot => "U-Boot".to_owned(),
            Self::Edk2 => "EDK2".to_owned(),
            Self::Installer => "Debian 12's installer".to_owned(),
        }
    }

    /// Where its files are, or would be.
    #[must_use]
    pub fn folder(&self, cache: &Path) -> PathBuf {
        let name = match self {
            Self::Busybox => "busybox".to_owned(),
            Self::Kernel(kernel) => format!("kernel-{}", kernel.id()),
            Self::UBoot => "u-boot".to_owned(),
            Self::Edk2 => "edk2".to_owned(),
            Self::Installer => "installer-12".to_owned(),
        };
        cache.join(FOLDER).join(name)
    }

    /// The file that says what it is made of.
    #[must_use]
    pub fn contents_file(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join(CONTENTS)
    }

    /// Which packages it came from, if it is there and whole.
    #[must_use]
    pub fn describe(&self, cache: &Path) -> Option<String> {
        let contents = self.find(cache)?;
        let packages = contents.packages.iter();
        let packages: Vec<String> = packages
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        Some(packages.join(", "))
    }

    /// One of its files.
    #[must_use]
    pub fn file(&self, name: &str, cache: &Path) -> PathBuf {
        self.folder(cache).join(name)
    }

    pub(super) fn find(&self, cache: &Path) -> Option<Contents> {
        let contents = fs::read(self.contents_file(cache)).ok()?;
        let contents: Contents = serde_json::from_slice(&contents).ok()?;
        let files = match self {
            Self::Busybox => &["busybox"][..],
            Self::Kernel(_) => &["vmlinuz"],
            Self::UBoot => &["u-boot.bin"],
            Self::Edk2 => &["QEMU_EFI.fd"],
            Self::Installer => &["linux", "initrd.gz"],
        };
        let modules = contents.modules.iter().chain(&contents.on_demand);
        let folder = self.folder(cache);
        files
            .iter()
            .copied()
            .chain(modules.map(String::as_str))
            .all(|name| folder.join(name).is_file())
            .then_some(contents)
    }

    /// What its packages are looked for in.
    fn sources(&self, mirrors: &Mirrors) -> Result<Vec<Source>, ParcelError> {
        let suite = match self {
            Self::Busybox | Self::UBoot | Self::Edk2 => None,
            Self::Kernel(kernel) => kernel.suite,
            Self::Installer => Some(INSTALLER_SUITE)
                .filter(|suite| !mirrors.all().iter().any(|source| source.suite == *suite)),
        };
        match suite {
            None => Ok(mirrors.all().to_vec()),
            Some(suite) => {
                let mirror = mirrors.debian().ok_or(ParcelError::NoArchive)?;
                Ok(vec![mirror.with_suite(suite)])
            }
        }
    }

    /// Fills `folder` with its files; `tree` is an empty folder to unpack packages in.
    fn fill(&self, lists: &Lists, tree: &Path, folder: &Path) -> Result<Contents, ParcelError> {
        let take = |prefix: &str, name: &str| -> Result<(), ParcelError> {
            let from = modules::find_file(tree, prefix)?;
            fs::rename(&from, folder.join(name)).map_err(failed(&from))
        };
        let one = |package: &str, pattern: &str, name: &str| -> Result<Contents, ParcelError> {
            let package = lists.newest(package)?;
            lists.unpack(&package, &[pattern], tree)?;
            take(name, name)?;
            Ok(Contents {
                packages: vec![package],
                ..Contents::default()
            })
        };
        match self {
            // It moved from /bin to /usr/bin in later releases.
            Self::Busybox => one("busybox-static", "*/bin/busybox", "busybox"),
            Self::UBoot => one("u-boot-qemu", "*/qemu_arm64/u-boot.bin", "u-boot.bin"),
            Self::Edk2 => one(
                "qemu-efi-aarch64",
                "*/qemu-efi-aarch64/QEMU_EFI.fd",
                "QEMU_EFI.fd",
            ),
            Self::Kernel(kernel) => kernel.fill(lists, tree, folder),
            Self::Installer => {
                let package = lists.newest(INSTALLER)?;
                // Beside the text interface there is the graphical one.
                let patterns = ["*/text/*/arm64/linux", "*/text/*/arm64/initrd.gz"];
                lists.unpack(&package, &patterns, tree)?;
                take("linux", "linux")?;
                take("initrd.gz", "initrd.gz")?;
                Ok(Contents {
                    packages: vec![package],
                    ..Contents::default()
                })
            }
        }
    }
}

/// The package lists of some suites.
pub(super) struct Lists {
    archive: Archive,
    sources: Vec<Source>,
}

impl Lists {
    fn read(sources: Vec<Source>, cache: &Path) -> Result<Self, ParcelError> {
        let uri = &sources.first().ok_or(ParcelError::NoArchive)?.uri;
        step(&format!(
            "reading the arm64 package lists of {}, {uri}",
            suites(&sources)
        ));
        let archive = Archive::open(cache, &sources, "arm64")?;
        Ok(Self { archive, sources })
    }

    /// The newest version of a package.
    pub(super) fn newest(&self, name: &str) -> Result<Package, ParcelError> {
        match self.archive.versions(name)?.into_iter().next() {
            Some(version) => Ok(Package {
                name: name.to_owned(),
                version,
            }),
            None => Err(self.lacks(name)),
        }
    }

    /// What a package depends on.
    pub(super) fn depends(&self, package: &Package) -> Result<Vec<String>, ParcelError> {
        Ok(self.archive.depends(&package.name, &package.version)?)
    }

    /// Downloads a package and unpacks those of its files that match one of `patterns`.
    pub(super) fn unpack(
        &self,
        package: &Package,
        patterns: &[&str],
        tree: &Path,
    ) -> Result<(), ParcelError> {
        let (name, version) = (&package.name, &package.version);
        step(&format!("downloading {name} {version}"));
        let file = self.archive.download(name, version)?;
        archive::unpack(&file, patterns, tree)?;
        // A kernel package has 100 MB, and several may come.
        fs::remove_file(&file).map_err(failed(&file))
    }

    /// That a package is not in the lists.
    pub(super) fn lacks(&self, package: &str) -> ParcelError {
        let uri = self
            .sources
            .first()
            .map_or_else(String::new, |source| source.uri.clone());
        ParcelError::NoPackage {
            uri,
            suites: suites(&self.sources),
            package: package.to_owned(),
        }
    }
}

fn suites(sources: &[Source]) -> String {
    let names: Vec<&str> = sources.iter().map(|source| source.suite.as_str()).collect();
    names.join(", ")
}

/// Downloads those of `parcels` that are not in `cache`, and gives back what became of each of them. Each list of
/// packages is read once where parcels that need it follow each other.
pub(super) fn install(
    parcels: &[Parcel],
    mirrors: &Mirrors,
    cache: &Path,
) -> Vec<(Parcel, Result<(), ParcelError>)> {
    let mut open: Option<Lists> = None;
    let absent = parcels.iter().filter(|parcel| parcel.find(cache).is_none());
    absent
        .map(|parcel| {
            let installed = parcel.sources(mirrors).and_then(|sources| {
                let lists = match open.take() {
                    Some(lists) if lists.sources == sources => lists,
                    _ => Lists::read(sources, cache)?,
                };
                put_in_place(parcel, open.insert(lists), cache)
            });
            (*parcel, installed)
        })
        .collect()
}

/// Fills a folder beside the destination and renames it, so that an interruption leaves nothing that looks complete.
fn put_in_place(parcel: &Parcel, lists: &Lists, cache: &Path) -> Result<(), ParcelError> {
    let unpacked = tempfile::Builder::new()
        .prefix("unpack-")
        .tempdir_in(cache)
        .map_err(failed(cache))?;
    let (tree, new) = (unpacked.path().join("tree"), unpacked.path().join("new"));
    for folder in [&tree, &new] {
        fs::create_dir(folder).map_err(failed(folder))?;
    }
    let contents = parcel.fill(lists, &tree, &new)?;
    let text = serde_json::to_vec_pretty(&contents).map_err(|error| failed(&new)(error.into()))?;
    fs::write(new.join(CONTENTS), text).map_err(failed(&new))?;
    let folder = parcel.folder(cache);
    fs::create_dir_all(cache.join(FOLDER)).map_err(failed(cache))?;
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    fs::rename(&new, &folder).map_err(failed(&folder))
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> ParcelError {
    let path = path.to_owned();
    move |source| ParcelError::Io { path, source }
}
