// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernel modules from an unpacked kernel package: their dependencies and the order in which they
//! load.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use goblin::elf::Elf;
use thiserror::Error;

/// The reason that the modules could not be collected.
#[derive(Debug, Error)]
pub enum ModulesError {
    /// The tree could not be read, or a module could not be written.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The package lacks a file.
    #[error("the package has no file {0}")]
    NoFile(String),
    /// A module is neither a file of the package nor built into the kernel.
    #[error("the kernel has no {0}, neither as a module nor built in")]
    NoModule(String),
    /// A module is not an ELF with a .modinfo section.
    #[error("{0} is not a kernel module")]
    NotAModule(PathBuf),
}

/// Returns a file under `tree` whose name begins with `prefix`.
pub(super) fn find_file(tree: &Path, prefix: &str) -> Result<PathBuf, ModulesError> {
    let mut files = Vec::new();
    walk(tree, &mut files)?;
    let found = files
        .into_iter()
        .find(|path| name_of(path).starts_with(prefix));
    found.ok_or_else(|| ModulesError::NoFile(prefix.to_owned()))
}

/// Writes the modules `wanted` and all of their dependencies to `folder`, uncompressed; returns
/// their file names in an order in which they can be loaded. Omits modules that are built into the
/// kernel.
pub(super) fn collect(
    tree: &Path,
    wanted: &[&str],
    folder: &Path,
) -> Result<Vec<String>, ModulesError> {
    let builtin = read(&find_file(tree, "modules.builtin")?)?;
    let builtin = String::from_utf8_lossy(&builtin).into_owned();
    let mut files = Vec::new();
    walk(tree, &mut files)?;
    let mut collection = Collection {
        files: files
            .into_iter()
            .filter_map(|path| Some((module_name(name_of(&path))?, path)))
            .collect(),
        builtin: builtin
            .lines()
            .filter_map(|line| module_name(line.rsplit('/').next()?))
            .collect(),
        folder,
        order: Vec::new(),
    };
    for name in wanted {
        collection.add(name)?;
    }
    Ok(collection.order)
}

struct Collection<'a> {
    files: BTreeMap<String, PathBuf>,
    builtin: Vec<String>,
    folder: &'a Path,
    order: Vec<String>,
}

impl Collection<'_> {
    /// Adds the module's dependencies, then the module. The recursion ends because the kernel's
    /// build rejects cyclic dependencies.
    fn add(&mut self, name: &str) -> Result<(), ModulesError> {
        let file_name = format!("{name}.ko");
        if self.order.contains(&file_name) || self.builtin.iter().any(|builtin| builtin == name) {
            return Ok(());
        }
        let path = self
            .files
            .get(name)
            .ok_or_else(|| ModulesError::NoModule(name.to_owned()))?
            .clone();
        let bytes = uncompressed(&path)?;
        for dependency in dependencies(&bytes).ok_or(ModulesError::NotAModule(path))? {
            self.add(&dependency)?;
        }
        let path = self.folder.join(&file_name);
        fs::write(&path, bytes).map_err(|source| ModulesError::Io { path, source })?;
        self.order.push(file_name);
        Ok(())
    }
}

/// Returns the modules in `depends=` of the .modinfo section; `None` if there is no such section.
fn dependencies(module: &[u8]) -> Option<Vec<String>> {
    let elf = Elf::parse(module).ok()?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(".modinfo"))?;
    let content = module.get(section.file_range()?)?;
    let mut names = Vec::new();
    for entry in content.split(|&byte| byte == 0) {
        if let Some(list) = entry.strip_prefix(b"depends=") {
            let list = String::from_utf8_lossy(list);
            names.extend(
                list.split(',')
                    .filter(|name| !name.is_empty())
                    .map(|name| name.replace('-', "_")),
            );
        }
    }
    Some(names)
}

/// Returns the module's name, `virtio_mmio` for `virtio-mmio.ko.xz`; `None` for other files.
fn module_name(file: &str) -> Option<String> {
    let (name, rest) = file.split_once(".ko")?;
    matches!(rest, "" | ".xz").then(|| name.replace('-', "_"))
}

/// Reads a module as an ELF. Debian compresses modules with xz from release 13 on.
fn uncompressed(path: &Path) -> Result<Vec<u8>, ModulesError> {
    let bytes = read(path)?;
    if path.extension().is_none_or(|extension| extension != "xz") {
        return Ok(bytes);
    }
    let mut module = Vec::new();
    lzma_rust2::XzReader::new(bytes.as_slice(), false)
        .read_to_end(&mut module)
        .map_err(|source| ModulesError::Io {
            path: path.into(),
            source,
        })?;
    Ok(module)
}

fn read(path: &Path) -> Result<Vec<u8>, ModulesError> {
    fs::read(path).map_err(|source| ModulesError::Io {
        path: path.into(),
        source,
    })
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ModulesError> {
    let failed = |source| ModulesError::Io {
        path: folder.into(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names() {
        assert_eq!(
            module_name("virtio-mmio.ko.xz").as_deref(),
            Some("virtio_mmio")
        );
        assert_eq!(module_name("squashfs.ko").as_deref(), Some("squashfs"));
        assert_eq!(module_name("modules.order"), None);
        assert_eq!(module_name("x.kokoro"), None);
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_built_in_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("modules.builtin"),
            "kernel/drivers/block/virtio_blk.ko\n",
        )
        .unwrap();
        fs::write(folder.path().join("f2fs.ko"), "text").unwrap();
        let none = Vec::<String>::new();
        assert_eq!(
            collect(folder.path(), &["virtio_blk"], folder.path()).unwrap(),
            none
        );
        let error = collect(folder.path(), &["squashfs"], folder.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel has no squashfs, neither as a module nor built in"
        );
        let error = collect(folder.path(), &["f2fs"], folder.path()).unwrap_err();
        assert!(matches!(error, ModulesError::NotAModule(_)), "{error}");
    }
}
