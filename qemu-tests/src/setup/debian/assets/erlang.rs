// SPDX-License-Identifier: MIT OR Apache-2.0

//! Erlang and Elixir as folders to copy into a root file system, pruned to what a guest uses.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::asset::Asset;
use super::contents::Contents;
use super::error::{AssetError, failed};
use super::libraries;
use super::package_lists::PackageLists;

/// The folder of what every guest with Erlang has, laid out as in the guest.
const ROOT: &str = "root";
/// The folder of what only a guest with Elixir has, laid out as in the guest.
const ELIXIR: &str = "elixir";

/// Some files of the asset, which show that it is complete.
pub(super) const FILES: &[&str] = &[
    "root/usr/lib/erlang/bin/start.boot",
    "root/usr/sbin/mkfs.f2fs",
    "root/lib/ld-linux-aarch64.so.1",
    "elixir/usr/lib/elixir/bin/iex",
];

/// `ncurses-base` describes the terminal.
const PACKAGES: [&str; 5] = [
    "erlang-base",
    "erlang-crypto",
    "elixir",
    "f2fs-tools",
    "ncurses-base",
];

/// Erlang's applications. The others of the packages are for development or for servers.
const APPLICATIONS: [&str; 9] = [
    "asn1",
    "compiler",
    "crypto",
    "inets",
    "kernel",
    "public_key",
    "sasl",
    "ssl",
    "stdlib",
];

/// Elixir's applications.
const ELIXIR_APPLICATIONS: [&str; 4] = ["eex", "elixir", "iex", "logger"];

/// The emulator's programs. epmd, which finds other nodes by name, is not among them: it needs
/// systemd's library.
const PROGRAMS: [&str; 4] = ["beam.smp", "erl_child_setup", "erlexec", "inet_gethost"];

/// Programs and loadable libraries whose libraries the guest needs.
const LINKED: [&str; 6] = [
    "beam.smp",
    "erl_child_setup",
    "erlexec",
    "inet_gethost",
    "crypto.so",
    "mkfs.f2fs",
];

/// Erlang and Elixir in the cache.
#[derive(Clone, Debug)]
pub struct Erlang {
    folder: PathBuf,
    contents_file: PathBuf,
}

impl Erlang {
    /// Returns it if it is complete in `cache`.
    #[must_use]
    pub fn find(cache: &Path) -> Option<Self> {
        Asset::Erlang.find(cache)?;
        Some(Self {
            folder: Asset::Erlang.folder(cache),
            contents_file: Asset::Erlang.contents_file(cache),
        })
    }

    /// Returns the folder to copy into the guest's root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join(ROOT)
    }

    /// Returns the folder to copy as well, for Elixir.
    #[must_use]
    pub fn elixir(&self) -> PathBuf {
        self.folder.join(ELIXIR)
    }

    /// Returns the file that lists the packages.
    #[must_use]
    pub fn contents_file(&self) -> &Path {
        &self.contents_file
    }
}

/// Fills `folder` from the packages; `tree` is an empty folder to unpack them in.
pub(super) fn extract(
    lists: &PackageLists,
    tree: &Path,
    folder: &Path,
) -> Result<Contents, AssetError> {
    let packages = ["erlang-base", "elixir", "f2fs-tools"]
        .map(|name| lists.newest(name))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    lists.unpack_with_dependencies(&PACKAGES, None, tree)?;
    let root = folder.join(ROOT);
    let otp = Path::new("usr/lib/erlang");
    for application in folders(&tree.join(otp).join("lib"))? {
        if is_one_of(&application, &APPLICATIONS) {
            for part in ["ebin", "priv"] {
                let inside = otp.join("lib").join(&application).join(part);
                // Only some applications have a `priv`.
                if part == "priv" && !tree.join(&inside).exists() {
                    continue;
                }
                copy(&tree.join(&inside), &root.join(&inside))?;
            }
        }
    }
    let erts = folders(&tree.join(otp))?
        .into_iter()
        .find(|name| name.starts_with("erts-"));
    let erts = erts.ok_or_else(|| AssetError::NoFile("erts-<version>".to_owned()))?;
    for program in PROGRAMS {
        let inside = otp.join(&erts).join("bin").join(program);
        copy(&tree.join(&inside), &root.join(&inside))?;
    }
    for boot in ["start.boot", "start_clean.boot", "no_dot_erlang.boot"] {
        let inside = otp.join("bin").join(boot);
        copy(&tree.join(&inside), &root.join(&inside))?;
    }
    for (name, inside) in [
        ("mkfs.f2fs", "usr/sbin/mkfs.f2fs"),
        ("vt102", "lib/terminfo/v/vt102"),
    ] {
        copy(&find(tree, name)?, &root.join(inside))?;
    }
    let elixir = Path::new("usr/lib/elixir");
    for application in ELIXIR_APPLICATIONS {
        let inside = elixir.join("lib").join(application).join("ebin");
        copy(&tree.join(&inside), &folder.join(ELIXIR).join(&inside))?;
    }
    for script in ["elixir", "iex"] {
        let inside = elixir.join("bin").join(script);
        copy(&tree.join(&inside), &folder.join(ELIXIR).join(&inside))?;
    }
    Ok(Contents {
        packages,
        libraries: collect_libraries(tree, folder)?,
        ..Contents::default()
    })
}

/// Copies the libraries to where the dynamic linker looks for them; returns their paths in
/// `folder`.
fn collect_libraries(tree: &Path, folder: &Path) -> Result<Vec<String>, AssetError> {
    let inside = format!("{ROOT}/lib/aarch64-linux-gnu");
    let place = folder.join(&inside);
    fs::create_dir_all(&place).map_err(failed(&place))?;
    let mut names = Vec::new();
    for program in LINKED {
        names.extend(libraries::collect(tree, program, &place)?);
        let copy = place.join(program);
        fs::remove_file(&copy).map_err(failed(&copy))?;
    }
    names.sort();
    names.dedup();
    // Programs name the dynamic linker by its path.
    names.retain(|name| !name.starts_with("ld-linux"));
    let linker = "ld-linux-aarch64.so.1";
    let from = place.join(linker);
    // The kernel starts it, so it must be executable, unlike the libraries.
    fs::set_permissions(&from, Permissions::from_mode(0o755)).map_err(failed(&from))?;
    fs::rename(&from, folder.join(ROOT).join("lib").join(linker)).map_err(failed(&from))?;
    Ok(names
        .into_iter()
        .map(|name| format!("{inside}/{name}"))
        .collect())
}

/// Whether a folder such as `kernel-8.5.3` is of one of `applications`.
fn is_one_of(folder: &str, applications: &[&str]) -> bool {
    let name = folder.split_once('-').map_or(folder, |(name, _)| name);
    applications.contains(&name)
}

/// Returns the names of the folders in `folder`, sorted.
fn folders(folder: &Path) -> Result<Vec<String>, AssetError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Returns the file below `tree` with exactly this name.
fn find(tree: &Path, name: &str) -> Result<PathBuf, AssetError> {
    let mut open = vec![tree.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?;
            if entry.file_type().map_err(failed(&folder))?.is_dir() {
                open.push(entry.path());
            } else if entry.file_name() == name && entry.path().is_file() {
                return Ok(entry.path());
            }
        }
    }
    Err(AssetError::NoFile(name.to_owned()))
}

/// Copies a file, or a folder with its contents. Links become what they lead to.
fn copy(from: &Path, to: &Path) -> Result<(), AssetError> {
    if from.is_dir() {
        for entry in fs::read_dir(from).map_err(failed(from))? {
            let entry = entry.map_err(failed(from))?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).map_err(failed(parent))?;
    fs::copy(from, to).map_err(failed(from))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_are_told_by_their_names_without_versions() {
        assert!(is_one_of("kernel-8.5.3", &APPLICATIONS));
        assert!(is_one_of("elixir", &ELIXIR_APPLICATIONS));
        assert!(!is_one_of("kernels-1", &APPLICATIONS));
        assert!(!is_one_of("mnesia-4.21.3", &APPLICATIONS));
    }

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("v")).unwrap();
        fs::write(folder.path().join("v/vt102-w"), "").unwrap();
        assert!(find(folder.path(), "vt102").is_err());
        fs::write(folder.path().join("v/vt102"), "").unwrap();
        let found = find(folder.path(), "vt102").unwrap();
        assert_eq!(found, folder.path().join("v/vt102"));
    }
}
