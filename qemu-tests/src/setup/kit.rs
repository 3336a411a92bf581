// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest's parts that Debian provides: a stock kernel, the modules its initrd needs, and a static busybox.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::archive::{self, Archive, ArchiveError};
use super::modules::{self, ModulesError};
use super::{Mirrors, step};

/// The folder under the cache; a new name makes old caches be fetched again.
const FOLDER: &str = "debian-1";
/// Which packages a kit came from.
const MANIFEST: &str = "kit.json";

/// Modules that the initrd loads, if they are not built in: disks on both transports, the network, the file systems.
const MODULES: [&str; 6] = [
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "squashfs",
    "f2fs",
];

/// Why there is no kit.
#[derive(Debug, Error)]
pub enum KitError {
    /// There is nowhere to get it from.
    #[error(
        "there is no Debian archive among apt's sources to get an arm64 kernel and busybox from; give \
         `cargo qemu boot` your own by --kernel, --initrd and --rootfs, or set LITTLE_LOADER_DEBIAN_MIRROR to the URL of \
         a Debian archive"
    )]
    NoArchive,
    /// The archive could not be reached, or its lists lack a package.
    #[error(
        "{uri} has no package {package} for arm64, or cannot be reached; give `cargo qemu boot` your own kernel by \
         --kernel, --initrd and --rootfs"
    )]
    NoPackage {
        /// The archive.
        uri: String,
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

/// What `kit.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    kernel_package: String,
    kernel_version: String,
    busybox_version: String,
    /// File names in the order in which they must be loaded.
    modules: Vec<String>,
}

/// A kernel, its modules and busybox, all for arm64.
#[derive(Clone, Debug)]
pub struct Kit {
    folder: PathBuf,
    /// For example `linux-image-6.1.0-56-arm64 6.1.192-2`.
    pub kernel_version: String,
    /// For example `1:1.35.0-4+deb12u1+b1`.
    pub busybox_version: String,
    /// The modules in the order in which they must be loaded.
    pub modules: Vec<PathBuf>,
}

impl Kit {
    /// The kit under `cache`, if it is there and whole.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        let folder = cache.join(FOLDER);
        let manifest: Manifest =
            serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
        let kit = Self {
            kernel_version: format!("{} {}", manifest.kernel_package, manifest.kernel_version),
            busybox_version: manifest.busybox_version,
            modules: manifest
                .modules
                .iter()
                .map(|name| folder.join(name))
                .collect(),
            folder,
        };
        let whole = kit
            .modules
            .iter()
            .chain([&kit.kernel(), &kit.busybox()])
            .all(|path| path.is_file());
        whole.then_some(kit)
    }

    /// The kernel as the package has it: a raw Image, or an EFI zboot one.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The file that says what the kit is made of.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.folder.join(MANIFEST)
    }

    /// busybox, statically linked.
    #[must_use]
    pub fn busybox(&self) -> PathBuf {
        self.folder.join("busybox")
    }

    /// What it is made of, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{}, busybox-static {}, in {}",
            self.kernel_version,
            self.busybox_version,
            self.folder.display()
        )
    }
}

/// Downloads a kit into `cache`.
///
/// # Errors
/// Every [`KitError`].
pub fn install(mirrors: &Mirrors, cache: &Path) -> Result<Kit, KitError> {
    let uri = mirrors.debian().ok_or(KitError::NoArchive)?.uri.clone();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| KitError::Io { path, source }
    };
    step(&format!("reading the arm64 package lists of {uri}"));
    let archive = Archive::open(cache, mirrors.all())?;
    let newest = |package: &str| -> Result<String, KitError> {
        let first = archive.versions(package)?.into_iter().next();
        first.ok_or_else(|| KitError::NoPackage {
            uri: uri.clone(),
            package: package.to_owned(),
        })
    };
    let kernel_package = {
        // The unnumbered package only depends on the real one.
        let version = newest("linux-image-arm64")?;
        let depends = archive.depends("linux-image-arm64", &version)?;
        let real = depends
            .into_iter()
            .find(|package| package.starts_with("linux-image-"));
        real.ok_or_else(|| KitError::NoPackage {
            uri: uri.clone(),
            package: "linux-image-<version>".to_owned(),
        })?
    };
    let (kernel_version, busybox_version) = (newest(&kernel_package)?, newest("busybox-static")?);
    step(&format!(
        "downloading {kernel_package} {kernel_version} and busybox-static {busybox_version}"
    ));
    let kernel = archive.download(&kernel_package, &kernel_version)?;
    let busybox = archive.download("busybox-static", &busybox_version)?;

    step(&format!(
        "unpacking them to {}",
        cache.join(FOLDER).display()
    ));
    let unpacked = tempfile::Builder::new()
        .prefix("unpack-")
        .tempdir_in(cache)
        .map_err(failed(cache))?;
    let (tree, kit) = (unpacked.path().join("tree"), unpacked.path().join("kit"));
    for folder in [&tree, &kit] {
        fs::create_dir(folder).map_err(failed(folder))?;
    }
    // busybox moved from /bin to /usr/bin in later releases, the modules from /lib to /usr/lib.
    archive::unpack(&busybox, &["*/bin/busybox"], &tree)?;
    archive::unpack(
        &kernel,
        &["./boot/vmlinuz-*", "*/modules.builtin", "*.ko*"],
        &tree,
    )?;
    let take = |from: &Path, name: &str| fs::rename(from, kit.join(name)).map_err(failed(from));
    take(&modules::find_file(&tree, "busybox")?, "busybox")?;
    take(&modules::find_file(&tree, "vmlinuz-")?, "vmlinuz")?;
    let modules = modules::collect(&tree, &MODULES, &kit)?;

    let manifest = Manifest {
        kernel_package,
        kernel_version,
        busybox_version,
        modules,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(&kit)(error.into()))?;
    fs::write(kit.join(MANIFEST), text).map_err(failed(&kit))?;
    let folder = cache.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    fs::rename(&kit, &folder).map_err(failed(&folder))?;
    Kit::find(cache).ok_or(KitError::NoPackage {
        uri,
        package: manifest.kernel_package,
    })
}
