// SPDX-License-Identifier: MIT OR Apache-2.0

//! The extraction of a kernel and its modules from Debian's packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use imagegen::modules::ModuleTree;

use super::contents::Contents;
use super::error::{AssetError, failed};
use super::files;
use super::package_lists::PackageLists;
use crate::setup::debian::kernels::DebianKernel;

/// The modules that the initrd loads if they are not built in: virtio's MMIO and PCI transports,
/// disks and network cards, and squashfs.
const MODULES: [&str; 5] = [
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "squashfs",
];

/// Extracts the kernel and its modules. The unversioned package depends on the versioned one,
/// which, from Linux 7.2 on, depends on others with the kernel, its modules and their lists.
pub(super) fn extract(
    kernel: DebianKernel,
    lists: &PackageLists,
    tree: &Path,
    folder: &Path,
) -> Result<Contents, AssetError> {
    let newest = format!("linux-image-{}", kernel.flavour.name());
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
    let vmlinuz = files::find_file(tree, "vmlinuz")?;
    fs::rename(&vmlinuz, folder.join("vmlinuz")).map_err(failed(&vmlinuz))?;
    let modules = ModuleTree::open(tree, None)?;
    let loaded = collect(&modules, &wanted(kernel), folder)?;
    let mut dependencies = BTreeMap::new();
    for name in on_demand(kernel) {
        let mut order = collect(&modules, &[name], folder)?;
        order.retain(|name| !loaded.contains(name));
        for (index, name) in order.iter().enumerate() {
            dependencies.insert(name.clone(), order[..index].to_vec());
        }
    }
    Ok(Contents {
        packages,
        modules: loaded,
        on_demand: dependencies.keys().cloned().collect(),
        dependencies,
        ..Contents::default()
    })
}

/// Writes the modules `wanted` and all of their dependencies to `folder`, uncompressed; returns
/// their file names in the order in which they load.
fn collect(
    modules: &ModuleTree,
    wanted: &[&str],
    folder: &Path,
) -> Result<Vec<String>, AssetError> {
    let mut names = Vec::new();
    for module in modules.load_order(wanted)?.modules {
        let path = folder.join(module.file_name());
        fs::write(&path, &module.contents).map_err(failed(&path))?;
        names.push(module.file_name());
    }
    Ok(names)
}

/// The modules that the initrd loads.
fn wanted(kernel: DebianKernel) -> Vec<&'static str> {
    let mut modules = MODULES.to_vec();
    if kernel == DebianKernel::STOCK {
        // What the guests of a fleet need: the data partition, random numbers and an identity.
        // f2fs asks for its checksum by name when it mounts, so that no dependency shows it.
        modules.extend(["crc32_generic", "f2fs", "virtio_rng", "qemu_fw_cfg"]);
    }
    modules
}

/// The modules in the root file system, loaded on demand.
fn on_demand(kernel: DebianKernel) -> &'static [&'static str] {
    if kernel == DebianKernel::STOCK {
        // QEMU's watchdog, and its memory balloon.
        &["i6300esb", "virtio_balloon"]
    } else {
        &[]
    }
}
