// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program and the shared libraries that it needs, out of unpacked packages.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;
use thiserror::Error;

/// The reason that a program could not be collected.
#[derive(Debug, Error)]
pub enum LibrariesError {
    /// The packages could not be read, or a file could not be written.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file of the packages is not an ELF.
    #[error("{path} is not an ELF")]
    NotAnElf {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: goblin::error::Error,
    },
    /// No package has a file of this name.
    #[error("{needed_by} needs {name}, which none of the packages has")]
    Missing {
        /// The file name.
        name: String,
        /// The program or library that needs it.
        needed_by: String,
    },
}

/// Copies `program` and every library that it needs, also indirectly, from `tree` to `folder`;
/// returns the names of the libraries. The dynamic linker is one of them.
pub(super) fn collect(
    tree: &Path,
    program: &str,
    folder: &Path,
) -> Result<Vec<String>, LibrariesError> {
    let mut files = BTreeMap::new();
    walk(tree, &mut files)?;
    let mut open = vec![(program.to_owned(), "the package".to_owned())];
    let mut names = Vec::new();
    while let Some((name, needed_by)) = open.pop() {
        if names.contains(&name) {
            continue;
        }
        let Some(path) = files.get(&name) else {
            return Err(LibrariesError::Missing { name, needed_by });
        };
        let bytes = fs::read(path).map_err(failed(path))?;
        let needed = needed(&bytes).map_err(|source| LibrariesError::NotAnElf {
            path: path.clone(),
            source,
        })?;
        let copy = folder.join(&name);
        fs::write(&copy, &bytes).map_err(failed(&copy))?;
        open.extend(needed.into_iter().map(|library| (library, name.clone())));
        names.push(name);
    }
    names.retain(|name| name != program);
    names.sort();
    Ok(names)
}

/// Returns the file names of the libraries in an ELF's dynamic section, and of its dynamic linker.
fn needed(elf: &[u8]) -> Result<Vec<String>, goblin::error::Error> {
    let elf = Elf::parse(elf)?;
    let linker = elf.interpreter.and_then(|path| path.rsplit('/').next());
    let names = elf.libraries.iter().copied().chain(linker);
    Ok(names.map(str::to_owned).collect())
}

/// Finds the programs and libraries below `folder` by their file names, which are unique among the
/// names that are searched for. Links between folders of the packages are not followed.
fn walk(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), LibrariesError> {
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        if entry.file_type().map_err(failed(folder))?.is_dir() {
            walk(&path, files)?;
        } else if path.is_file() {
            // A link to a file, such as libz.so.1, counts as a file of its own.
            files.insert(entry.file_name().to_string_lossy().into_owned(), path);
        }
    }
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> LibrariesError {
    let path = path.to_owned();
    move |source| LibrariesError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The test's own program is an ELF with libraries and a dynamic linker. The "package" has the
    /// program and the linker in place of the libraries, because the real ones may be anywhere.
    #[test]
    fn libraries_are_found_by_name_and_missing_ones_are_named() {
        let own = env::current_exe().unwrap();
        let names = needed(&fs::read(&own).unwrap()).unwrap();
        assert!(
            names.iter().any(|name| name.starts_with("libc.")),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.starts_with("ld-")),
            "{names:?}"
        );

        let folder = tempfile::tempdir().unwrap();
        let (tree, copies) = (folder.path().join("tree"), folder.path().join("copies"));
        let libraries = tree.join("usr/lib");
        fs::create_dir_all(&libraries).unwrap();
        fs::create_dir(&copies).unwrap();
        fs::copy(&own, tree.join("program")).unwrap();
        let error = collect(&tree, "program", &copies).unwrap_err();
        assert!(error.to_string().starts_with("program needs "), "{error}");
        assert!(
            error
                .to_string()
                .ends_with("which none of the packages has")
        );

        let mut wanted = names;
        wanted.sort();
        wanted.dedup();
        for name in &wanted {
            symlink(&own, libraries.join(name)).unwrap();
        }
        assert_eq!(collect(&tree, "program", &copies).unwrap(), wanted);
        for name in &wanted {
            assert!(copies.join(name).metadata().unwrap().is_file());
        }
        fs::write(tree.join("program"), "text").unwrap();
        let error = collect(&tree, "program", &copies).unwrap_err();
        assert!(matches!(error, LibrariesError::NotAnElf { .. }), "{error}");
    }
}
