// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::PathBuf;

use super::error::ModulesError;
use super::modinfo::{Modinfo, normalized, read_module};
use super::similar::similar;
use super::tree::ModuleTree;

/// A kernel module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, for example `virtio_mmio`.
    pub name: String,
    /// The file that it was read from.
    pub path: PathBuf,
    /// The uncompressed ELF file.
    pub contents: Vec<u8>,
}

impl Module {
    /// Returns the name of its file without compression, for example `virtio_mmio.ko`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.ko", self.name)
    }
}

/// Modules in an order in which they can be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOrder {
    /// The modules: the requested ones and all that they depend on.
    pub modules: Vec<Module>,
    /// The requested modules that are built into the kernel and need no loading.
    pub built_in: Vec<String>,
}

impl ModuleTree {
    /// Collects modules and their dependencies. Soft dependencies are included if they exist.
    ///
    /// # Errors
    ///
    /// When a module or a dependency is neither a file nor built in, or cannot be read.
    pub fn load_order<Name: AsRef<str>>(&self, wanted: &[Name]) -> Result<LoadOrder, ModulesError> {
        let mut collection = Collection {
            tree: self,
            open: Vec::new(),
            modules: Vec::new(),
        };
        let mut built_in = Vec::new();
        for name in wanted {
            let name = normalized(name.as_ref());
            collection.add(&name)?;
            if self.builtin.contains(&name) && !built_in.contains(&name) {
                built_in.push(name);
            }
        }
        Ok(LoadOrder {
            modules: collection.modules,
            built_in,
        })
    }
}

struct Collection<'a> {
    tree: &'a ModuleTree,
    /// The modules whose dependencies are being added, each needed by the one before it.
    open: Vec<String>,
    modules: Vec<Module>,
}

impl Collection<'_> {
    /// Adds the module's dependencies, then the module.
    fn add(&mut self, name: &str) -> Result<(), ModulesError> {
        if self.tree.builtin.contains(name) || self.modules.iter().any(|other| other.name == name) {
            return Ok(());
        }
        if self.open.iter().any(|other| other == name) {
            return Err(ModulesError::Cycle(name.to_owned()));
        }
        let Some(path) = self.tree.files.get(name) else {
            return Err(ModulesError::NoModule {
                release: self.tree.release.clone(),
                name: name.to_owned(),
                needed_by: self.open.last().cloned(),
                similar: similar(name, self.tree.files.keys().chain(&self.tree.builtin)),
            });
        };
        let contents = read_module(path)?;
        let info =
            Modinfo::parse(&contents).ok_or_else(|| ModulesError::NotAModule(path.clone()))?;
        self.open.push(name.to_owned());
        for soft in &info.soft {
            self.add_if_possible(soft)?;
        }
        for dependency in &info.depends {
            self.add(dependency)?;
        }
        self.open.pop();
        self.modules.push(Module {
            name: name.to_owned(),
            path: path.clone(),
            contents,
        });
        Ok(())
    }

    /// Adds a soft dependency and its dependencies, or none of them if one is missing or needs a
    /// module that is still to be added.
    fn add_if_possible(&mut self, name: &str) -> Result<(), ModulesError> {
        let before = (self.open.len(), self.modules.len());
        match self.add(name) {
            Err(ModulesError::NoModule { .. } | ModulesError::Cycle(_)) => {
                self.open.truncate(before.0);
                self.modules.truncate(before.1);
                Ok(())
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Tree;
    use super::*;

    fn names(order: &LoadOrder) -> Vec<&str> {
        order
            .modules
            .iter()
            .map(|module| module.name.as_str())
            .collect()
    }

    #[test]
    fn dependencies_load_first_whatever_the_compression() {
        let tree = Tree::new("6.1.0-x")
            .builtin("kernel/lib/crc32.ko")
            .module("kernel/virtio-blk.ko.xz", &["depends=virtio_ring,virtio"])
            .module("kernel/virtio_ring.ko.gz", &["depends=virtio,crc32"])
            .module("kernel/virtio.ko.zst", &["depends="])
            .module("kernel/unused.ko", &["depends="]);
        let modules = ModuleTree::open(tree.path(), None).unwrap();
        let order = modules
            .load_order(&["virtio-blk", "crc32", "virtio"])
            .unwrap();
        assert_eq!(names(&order), ["virtio", "virtio_ring", "virtio_blk"]);
        assert_eq!(order.built_in, ["crc32"]);
        assert_eq!(order.modules[2].file_name(), "virtio_blk.ko");
        for module in &order.modules {
            assert!(module.contents.starts_with(b"\x7fELF"), "{}", module.name);
        }
    }

    #[test]
    fn soft_dependencies_load_first_if_that_is_possible() {
        let tree = Tree::new("6.1.0-x")
            .builtin("kernel/lib/crc32.ko")
            .module(
                "f2fs.ko",
                &["softdep=pre: crc32 lz4 gone broken needs-f2fs"],
            )
            .module("lz4.ko", &["depends=lib"])
            .module("lib.ko", &["depends="])
            .module("broken.ko", &["depends=other,gone"])
            .module("other.ko", &["depends="])
            .module("needs-f2fs.ko", &["depends=f2fs"]);
        let modules = ModuleTree::open(tree.path(), None).unwrap();
        let order = modules.load_order(&["f2fs"]).unwrap();
        assert_eq!(names(&order), ["lib", "lz4", "f2fs"]);
        let order = modules.load_order(&["needs_f2fs"]).unwrap();
        assert_eq!(names(&order), ["lib", "lz4", "f2fs", "needs_f2fs"]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let tree = Tree::new("6.1.0-x")
            .builtin("kernel/virtio_blk.ko")
            .module("squashfs.ko", &["depends=lz4hc"])
            .module("one.ko", &["depends=two"])
            .module("two.ko", &["depends=one"])
            .file("text.ko", b"text")
            .file("cut.ko.xz", b"\xfd7zXZ\0");
        let modules = ModuleTree::open(tree.path(), None).unwrap();
        let error = |name: &str| modules.load_order(&[name]).unwrap_err().to_string();
        assert_eq!(
            error("squashf"),
            "the kernel 6.1.0-x has no squashf, neither as a module nor built in; similar names: squashfs"
        );
        assert_eq!(
            error("virtio-blq"),
            "the kernel 6.1.0-x has no virtio_blq, neither as a module nor built in; similar names: virtio_blk"
        );
        assert_eq!(
            error("squashfs"),
            "the kernel 6.1.0-x has no lz4hc, neither as a module nor built in; squashfs needs it"
        );
        assert_eq!(
            error("one"),
            "the module one depends on itself, directly or through other modules"
        );
        assert!(error("text").ends_with(
            "text.ko is not a kernel module: it is not an ELF file with a section .modinfo"
        ));
        let cut = error("cut");
        assert!(
            cut.starts_with("cannot read ") && cut.contains("cut.ko.xz: "),
            "{cut}"
        );
    }
}
