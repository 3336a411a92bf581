// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's kernels for arm64: which there are, and what is taken out of their packages.

use std::fs;
use std::path::Path;

use super::modules;
use super::parcel::{Contents, Lists, ParcelError, failed};

/// The suites whose kernels are tried on demand, oldest first.
const SUITES: [&str; 6] = [
    "bookworm",
    "bookworm-backports",
    "trixie",
    "trixie-backports",
    "forky",
    "sid",
];

/// What a kernel is built for, as the end of its package's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// For every machine.
    Arm64,
    /// For virtual machines of clouds: fewer drivers.
    Cloud,
    /// Like the first, with pages of 16 KiB.
    Pages16k,
}

/// A kernel of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianKernel {
    /// The suite it is taken from; `None` for those that the system itself is updated from.
    pub suite: Option<&'static str>,
    /// What it is built for.
    pub flavour: Flavour,
}

/// Modules that the initrd loads, if they are not built in: disks on both transports, the network, and squashfs.
const MODULES: [&str; 5] = [
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "squashfs",
];

impl Flavour {
    const ALL: [Self; 3] = [Self::Arm64, Self::Cloud, Self::Pages16k];

    /// The end of the package's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Cloud => "cloud-arm64",
            Self::Pages16k => "arm64-16k",
        }
    }
}

impl DebianKernel {
    /// The one of the demo.
    pub const STOCK: Self = Self {
        suite: None,
        flavour: Flavour::Arm64,
    };
    /// The one for clouds, of the same release.
    pub const CLOUD: Self = Self {
        suite: None,
        flavour: Flavour::Cloud,
    };

    /// Every flavour of every suite.
    #[must_use]
    pub fn of_all_suites() -> Vec<Self> {
        let of_suite = |suite: &'static str| {
            // Release 12 itself has no kernel with larger pages.
            let flavours = Flavour::ALL
                .into_iter()
                .filter(move |flavour| suite != "bookworm" || *flavour != Flavour::Pages16k);
            flavours.map(move |flavour| Self {
                suite: Some(suite),
                flavour,
            })
        };
        SUITES.into_iter().flat_map(of_suite).collect()
    }

    /// For names of tests and folders, such as `trixie_backports_cloud_arm64`.
    #[must_use]
    pub fn id(&self) -> String {
        let suite = self
            .suite
            .map_or_else(String::new, |suite| format!("{suite}_"));
        (suite + self.flavour.name()).replace('-', "_")
    }

    /// The name of the test that boots it.
    #[must_use]
    pub fn test_name(&self) -> String {
        format!("kernels::{}", self.id())
    }

    /// What the initrd must load.
    fn modules(self) -> Vec<&'static str> {
        let mut modules = MODULES.to_vec();
        if self == Self::STOCK {
            modules.push("f2fs");
        }
        modules
    }

    /// What the root file system has in store.
    fn on_demand(self) -> &'static [&'static str] {
        if self == Self::STOCK {
            // QEMU's watchdog.
            &["i6300esb"]
        } else {
            &[]
        }
    }

    /// Takes the kernel and its modules out of its packages. The package without a number depends on the real one, and
    /// that one, from Linux 7.2 on, on others that hold the kernel, its modules and lists of them.
    pub(super) fn fill(
        self,
        lists: &Lists,
        tree: &Path,
        folder: &Path,
    ) -> Result<Contents, ParcelError> {
        let newest = format!("linux-image-{}", self.flavour.name());
        let depends = lists.depends(&lists.newest(&newest)?)?;
        let image = depends
            .into_iter()
            .find(|package| package.starts_with("linux-image-"))
            .ok_or_else(|| lists.lacks("linux-image-<release>"))?;
        let image = lists.newest(&image)?;
        let end = format!("-{}", image.name.trim_start_matches("linux-image-"));
        let mut parts: Vec<String> = lists.depends(&image)?;
        parts.retain(|name| name.starts_with("linux-") && name.ends_with(&end));
        if parts.is_empty() {
            let all = ["./boot/vmlinuz-*", "*/modules.builtin", "*.ko*"];
            lists.unpack(&image, &all, tree)?;
        }
        let mut packages = vec![image];
        for part in parts {
            let wanted = match part.trim_end_matches(&end) {
                "linux-base" => "*/modules.builtin",
                "linux-binary" => "*/vmlinuz",
                "linux-modules" => "*.ko*",
                _ => continue,
            };
            let package = lists.newest(&part)?;
            lists.unpack(&package, &[wanted], tree)?;
            packages.push(package);
        }
        let vmlinuz = modules::find_file(tree, "vmlinuz")?;
        fs::rename(&vmlinuz, folder.join("vmlinuz")).map_err(failed(&vmlinuz))?;
        let loaded = modules::collect(tree, &self.modules(), folder)?;
        let mut on_demand = modules::collect(tree, self.on_demand(), folder)?;
        on_demand.retain(|name| !loaded.contains(name));
        Ok(Contents {
            packages,
            modules: loaded,
            on_demand,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_a_name_of_its_own() {
        let mut ids: Vec<String> = DebianKernel::of_all_suites()
            .iter()
            .chain(&[DebianKernel::STOCK, DebianKernel::CLOUD])
            .map(DebianKernel::id)
            .collect();
        assert!(ids.contains(&"trixie_backports_cloud_arm64".to_owned()));
        assert!(ids.contains(&"cloud_arm64".to_owned()));
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert_eq!(count, 6 * 3 - 1 + 2);
    }
}
