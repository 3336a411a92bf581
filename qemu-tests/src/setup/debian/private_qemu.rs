// SPDX-License-Identifier: MIT OR Apache-2.0

//! The QEMU of another Debian suite, independent of the system's own: its package and all
//! dependencies, including the C library, are unpacked into the cache, but not installed. A script
//! starts it with the unpacked dynamic linker.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use thiserror::Error;

use super::archive::{Archive, ArchiveError};
use super::mirrors::Mirrors;
use super::sources::Source;
use super::unpack;
use crate::harness::emulator::PROGRAM;
use crate::harness::process::{self, ProcessError};
use crate::setup::announce::announce;

/// The folder under the cache.
const FOLDER: &str = "qemu";
const PACKAGE: &str = "qemu-system-arm";

/// The reason that this QEMU is not available.
#[derive(Debug, Error)]
pub enum PrivateQemuError {
    /// apt's sources contain no Debian archive.
    #[error(
        "there is no Debian archive among apt's sources; set LITTLE_LOADER_DEBIAN_MIRROR to the URL of one"
    )]
    NoArchive,
    /// The suite's name is invalid; as a path it might leave the cache.
    #[error("{0:?} is not a Debian suite; trixie-backports is one, for example")]
    NoSuite(String),
    /// The archive could not be reached, or its suite lacks QEMU.
    #[error("{suite} of {uri} has no package {PACKAGE}, or cannot be reached")]
    NoPackage {
        /// The archive.
        uri: String,
        /// The suite.
        suite: String,
    },
    /// A package could not be downloaded or unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A program failed, such as dpkg or the unpacked QEMU.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The unpacked packages are not as expected.
    #[error("the packages have no {0}")]
    NoFile(&'static str),
    /// The cache could not be written.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A QEMU that can be run.
#[derive(Clone, Debug)]
pub struct PrivateQemu {
    /// The value for the environment variable `QEMU`.
    pub program: PathBuf,
    /// The first line of its `--version`.
    pub version: String,
}

/// Returns the QEMU of `suite`, downloaded if it is not in `cache`.
///
/// # Errors
/// Every [`PrivateQemuError`].
pub fn install(
    suite: &str,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<PrivateQemu, PrivateQemuError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if suite.is_empty() || !suite.bytes().all(is_name) {
        return Err(PrivateQemuError::NoSuite(suite.to_owned()));
    }
    let folder = cache.join(FOLDER).join(suite);
    let program = folder.join(PROGRAM);
    if !program.is_file() {
        download(suite, mirrors, cache, &folder)?;
    }
    let said = process::capture(
        Command::new(&program).arg("--version"),
        Duration::from_secs(60),
    )?;
    let version = said.lines().next().unwrap_or_default().to_owned();
    Ok(PrivateQemu { program, version })
}

fn download(
    suite: &str,
    mirrors: &Mirrors,
    cache: &Path,
    folder: &Path,
) -> Result<(), PrivateQemuError> {
    let mirror = mirrors.debian().ok_or(PrivateQemuError::NoArchive)?;
    let architecture = process::capture(
        Command::new("dpkg").arg("--print-architecture"),
        Duration::from_secs(10),
    )?;
    let sources = sources(mirror, suite);
    announce(&format!(
        "reading the package lists of {suite}, {}",
        mirror.uri
    ));
    let archive = Archive::open(cache, &sources, architecture.trim())?;
    if archive.versions(PACKAGE)?.is_empty() {
        let (uri, suite) = (mirror.uri.clone(), suite.to_owned());
        return Err(PrivateQemuError::NoPackage { uri, suite });
    }
    announce(&format!("downloading {PACKAGE} and what it needs"));
    let packages = archive.download_with_dependencies(&[PACKAGE], Some(suite))?;
    announce(&format!(
        "unpacking {} packages to {}",
        packages.len(),
        folder.display()
    ));
    let parent = cache.join(FOLDER);
    fs::create_dir_all(&parent).map_err(failed(&parent))?;
    // The script contains absolute paths, so the packages are unpacked at their final path. The
    // script is written last, and marks a complete QEMU.
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    let root = folder.join("root");
    fs::create_dir_all(&root).map_err(failed(&root))?;
    for package in packages {
        unpack::all_files(&package, &root)?;
    }
    let text = script(&root)?;
    let new = folder.join("new");
    fs::write(&new, text).map_err(failed(&new))?;
    fs::set_permissions(&new, Permissions::from_mode(0o755)).map_err(failed(&new))?;
    fs::rename(&new, folder.join(PROGRAM)).map_err(failed(&new))
}

/// Returns the sources of the suite and of the one that it is based on.
fn sources(mirror: &Source, suite: &str) -> Vec<Source> {
    let base = match suite.strip_suffix("-backports") {
        _ if suite == "experimental" => Some("sid"),
        base => base,
    };
    std::iter::once(suite)
        .chain(base)
        .map(|suite| mirror.with_suite(suite))
        .collect()
}

/// Returns the script that starts QEMU with only the libraries under `root`, and with its own
/// firmware files.
fn script(root: &Path) -> Result<String, PrivateQemuError> {
    let mut linker = None;
    let mut libraries = BTreeSet::new();
    let mut modules = None;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?;
            let kind = entry.file_type().map_err(failed(&folder))?;
            let (name, path) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            if kind.is_dir() {
                if name == "qemu" && folder.join("libc.so.6").exists() {
                    modules = Some(path.clone());
                }
                folders.push(path);
            } else if name.starts_with("lib") && name.contains(".so.") {
                libraries.insert(folder.clone());
            } else if kind.is_file() && name.starts_with("ld-linux") {
                linker = Some(path);
            }
        }
    }
    let linker = linker.ok_or(PrivateQemuError::NoFile("dynamic linker"))?;
    let program = root.join("usr/bin").join(PROGRAM);
    if !program.is_file() {
        return Err(PrivateQemuError::NoFile("usr/bin/qemu-system-aarch64"));
    }
    let quoted = |path: &Path| shell_words::quote(&path.to_string_lossy()).into_owned();
    let libraries: Vec<String> = libraries
        .iter()
        .map(|folder| folder.to_string_lossy().into_owned())
        .collect();
    let modules = modules.map_or_else(String::new, |folder| {
        format!("export QEMU_MODULE_DIR={}\n", quoted(&folder))
    });
    Ok(format!(
        "#!/bin/sh\n# Made by `cargo qemu setup --qemu`.\n{modules}exec {} --library-path {} {} -L {} \"$@\"\n",
        quoted(&linker),
        shell_words::quote(&libraries.join(":")),
        quoted(&program),
        quoted(&root.join("usr/share/qemu")),
    ))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrivateQemuError {
    let path = path.to_owned();
    move |source| PrivateQemuError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_starts_what_was_unpacked_and_nothing_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a root");
        for file in [
            "usr/bin/qemu-system-aarch64",
            "usr/lib/x/libc.so.6",
            "usr/lib/x/ld-linux-x.so.2",
            "usr/lib/x/qemu/ui.so",
            "usr/lib/x/deep/libdeep.so.1",
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let text = script(&root).unwrap();
        let root = root.display();
        assert_eq!(
            text,
            format!(
                "#!/bin/sh\n# Made by `cargo qemu setup --qemu`.\nexport QEMU_MODULE_DIR='{root}/usr/lib/x/qemu'\n\
                 exec '{root}/usr/lib/x/ld-linux-x.so.2' --library-path '{root}/usr/lib/x:{root}/usr/lib/x/deep' \
                 '{root}/usr/bin/qemu-system-aarch64' -L '{root}/usr/share/qemu' \"$@\"\n"
            )
        );
        fs::remove_file(folder.path().join("a root/usr/lib/x/ld-linux-x.so.2")).unwrap();
        assert!(script(&folder.path().join("a root")).is_err());
    }

    #[test]
    fn suites_come_with_what_they_build_on() {
        let mirror = Source {
            signed_by: None,
            uri: "http://mirror.example/debian".to_owned(),
            suite: "bookworm".to_owned(),
            components: vec!["main".to_owned()],
        };
        let suites = |suite| -> Vec<String> {
            let sources = sources(&mirror, suite);
            sources.into_iter().map(|source| source.suite).collect()
        };
        assert_eq!(suites("trixie-backports"), ["trixie-backports", "trixie"]);
        assert_eq!(suites("forky"), ["forky"]);
        assert_eq!(suites("experimental"), ["experimental", "sid"]);
    }

    #[test]
    fn a_suite_is_a_name() {
        let mirrors = Mirrors::new(Vec::new());
        let error = install("../x", &mirrors, Path::new("/nowhere")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("\"../x\" is not a Debian suite"),
            "{error}"
        );
    }
}
