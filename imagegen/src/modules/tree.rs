// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ModulesError;
use super::modinfo::module_name;

/// The file that lists the modules in the kernel itself.
const BUILTIN: &str = "modules.builtin";

/// The modules of one kernel.
#[derive(Clone, Debug)]
pub struct ModuleTree {
    pub(super) release: String,
    /// The module files by module name.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// The names of the modules that are built in.
    pub(super) builtin: BTreeSet<String>,
}

impl ModuleTree {
    /// Finds the modules in a root file system or an unpacked kernel package, a folder with
    /// `lib/modules/RELEASE` or `usr/lib/modules/RELEASE`, or in such a folder `RELEASE` itself.
    /// Without a `release`, the tree must have modules of one kernel only.
    ///
    /// # Errors
    ///
    /// When there are no modules, or none of the release, or the release is ambiguous.
    pub fn open(tree: &Path, release: Option<&str>) -> Result<Self, ModulesError> {
        let mut all = releases(tree)?;
        let names = || all.keys().cloned().collect::<Vec<_>>();
        let chosen = match (release, all.keys().next()) {
            (_, None) => return Err(ModulesError::NoRelease(tree.to_owned())),
            (Some(wanted), _) if !all.contains_key(wanted) => {
                return Err(ModulesError::OtherRelease {
                    tree: tree.to_owned(),
                    wanted: wanted.to_owned(),
                    releases: names(),
                });
            }
            (None, _) if all.len() > 1 => {
                return Err(ModulesError::SeveralReleases {
                    tree: tree.to_owned(),
                    releases: names(),
                });
            }
            (Some(wanted), _) => wanted.to_owned(),
            (None, Some(only)) => only.clone(),
        };
        let folders = all.remove(&chosen).unwrap_or_default();
        Self::read(chosen, &folders)
    }

    /// Returns the release of the kernel, its `uname -r`.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    fn read(release: String, folders: &[PathBuf]) -> Result<Self, ModulesError> {
        let mut paths = Vec::new();
        for folder in folders {
            walk(folder, &mut paths)?;
        }
        paths.sort();
        // depmod prefers updates to the kernel's own modules, too.
        paths.sort_by_key(|path| !path.iter().any(|part| part == "updates"));
        let mut files = BTreeMap::new();
        let mut lists = Vec::new();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str());
            if name == Some(BUILTIN) {
                lists.push(path);
            } else if let Some(name) = name.and_then(module_name) {
                files.entry(name).or_insert(path);
            }
        }
        if lists.is_empty() {
            // Without the list, a module that is built in would be reported as missing.
            return Err(ModulesError::Read {
                path: folders.first().cloned().unwrap_or_default().join(BUILTIN),
                error: io::ErrorKind::NotFound.into(),
            });
        }
        let mut builtin = BTreeSet::new();
        for path in lists {
            let list = fs::read(&path).map_err(|error| ModulesError::Read { path, error })?;
            let list = String::from_utf8_lossy(&list);
            builtin.extend(
                list.lines()
                    .filter_map(|line| module_name(line.rsplit('/').next()?)),
            );
        }
        Ok(Self {
            release,
            files,
            builtin,
        })
    }
}

/// Returns the folders of each release. One release can have two, because packages of a kernel may
/// put files in either place.
fn releases(tree: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, ModulesError> {
    let mut releases = BTreeMap::<String, Vec<PathBuf>>::new();
    for place in ["lib", "usr/lib"] {
        // With a merged /usr, `lib` is a link to `usr/lib`. If the link is absolute, it leads out
        // of the tree.
        if tree.join(place).is_symlink() {
            continue;
        }
        let folder = tree.join(place).join("modules");
        if !folder.is_dir() {
            continue;
        }
        for path in entries(&folder)? {
            // A removed kernel may leave its folder with generated lists.
            if path.join(BUILTIN).is_file() || path.join("kernel").is_dir() {
                releases.entry(name_of(&path)).or_default().push(path);
            }
        }
    }
    if releases.is_empty() && tree.join(BUILTIN).is_file() {
        let absolute = tree.canonicalize().map_err(|error| ModulesError::Read {
            path: tree.to_owned(),
            error,
        })?;
        releases.insert(name_of(&absolute), vec![tree.to_owned()]);
    }
    // Reports a tree that does not exist or cannot be read as such.
    entries(tree)?;
    Ok(releases)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ModulesError> {
    for path in entries(folder)? {
        // Links to folders are not followed: `build` leads to the kernel's headers.
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ModulesError> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| ModulesError::Read {
            path: folder.to_owned(),
            error,
        })
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::fixtures::Tree;
    use super::*;

    fn error(tree: &Path, release: Option<&str>) -> String {
        ModuleTree::open(tree, release).unwrap_err().to_string()
    }

    #[test]
    fn a_tree_with_several_kernels_needs_a_choice() {
        let tree = Tree::new("6.1.0-x")
            .builtin("kernel/one.ko")
            .release("6.12.0-y")
            .builtin("kernel/two.ko");
        let found = error(tree.path(), None);
        assert!(
            found.ends_with("choose a release with --release: 6.1.0-x, 6.12.0-y"),
            "{found}"
        );
        let found = error(tree.path(), Some("5.10"));
        assert!(
            found.ends_with("has no modules of 5.10, only of 6.1.0-x, 6.12.0-y"),
            "{found}"
        );
        let modules = ModuleTree::open(tree.path(), Some("6.12.0-y")).unwrap();
        assert_eq!(modules.release(), "6.12.0-y");
        assert_eq!(modules.builtin, BTreeSet::from(["two".to_owned()]));
    }

    #[test]
    fn a_merged_usr_and_the_folder_of_the_release_are_accepted() {
        let tree = Tree::new("6.1.0-x").builtin("kernel/one.ko");
        let root = tree.path();
        fs::create_dir(root.join("usr")).unwrap();
        fs::rename(root.join("lib"), root.join("usr/lib")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        let itself = root.join("usr/lib/modules/6.1.0-x");
        for path in [root, &itself] {
            let modules = ModuleTree::open(path, None).unwrap();
            assert_eq!(modules.release(), "6.1.0-x");
            assert!(modules.builtin.contains("one"));
        }
    }

    #[test]
    fn updates_replace_modules_of_the_kernel() {
        let tree = Tree::new("6.1.0-x")
            .builtin("kernel/one.ko")
            .module("kernel/net.ko", &["depends="])
            .module("updates/dkms/net.ko.xz", &["depends="]);
        let modules = ModuleTree::open(tree.path(), None).unwrap();
        assert!(modules.files["net"].ends_with("updates/dkms/net.ko.xz"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(error(folder.path(), None).contains("has no folder lib/modules/RELEASE"));
        let absent = folder.path().join("absent");
        assert_eq!(
            error(&absent, None),
            format!(
                "cannot read {}: No such file or directory (os error 2)",
                absent.display()
            )
        );
        let tree = Tree::new("6.1.0-x").module("kernel/one.ko", &["depends="]);
        let found = error(tree.path(), None);
        assert!(
            found.contains("lib/modules/6.1.0-x/modules.builtin: "),
            "{found}"
        );
    }
}
