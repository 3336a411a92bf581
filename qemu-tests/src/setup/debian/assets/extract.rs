// SPDX-License-Identifier: MIT OR Apache-2.0

//! The extraction of each asset's files from its packages.

use std::fs;
use std::path::Path;

use super::asset::Asset;
use super::contents::Contents;
use super::erlang;
use super::error::{AssetError, failed};
use super::files;
use super::kernel;
use super::libraries;
use super::package_lists::PackageLists;
use crate::harness::emulator::PROGRAM;

const INSTALLER: &str = "debian-installer-12-netboot-arm64";

/// Fills `folder` with the files of `asset`; `tree` is an empty folder to unpack packages in.
pub(super) fn extract(
    asset: Asset,
    lists: &PackageLists,
    tree: &Path,
    folder: &Path,
) -> Result<Contents, AssetError> {
    let take = |prefix: &str, name: &str| -> Result<(), AssetError> {
        let from = files::find_file(tree, prefix)?;
        fs::rename(&from, folder.join(name)).map_err(failed(&from))
    };
    let one = |package: &str, pattern: &str, name: &str| -> Result<Contents, AssetError> {
        let package = lists.newest(package)?;
        lists.unpack(&package, &[pattern], tree)?;
        take(name, name)?;
        Ok(Contents {
            packages: vec![package],
            ..Contents::default()
        })
    };
    match asset {
        // Older releases have it in /bin, newer ones in /usr/bin.
        Asset::Busybox => one("busybox-static", "*/bin/busybox", "busybox"),
        Asset::UBoot => one("u-boot-qemu", "*/qemu_arm64/u-boot.bin", "u-boot.bin"),
        Asset::Edk2 => one(
            "qemu-efi-aarch64",
            "*/qemu-efi-aarch64/QEMU_EFI.fd",
            "QEMU_EFI.fd",
        ),
        Asset::Kernel(kernel) => kernel::extract(kernel, lists, tree, folder),
        Asset::ArmQemu(suite) => {
            let package = lists.newest("qemu-system-arm")?;
            lists.unpack_with_dependencies(&[&package.name], suite, tree)?;
            Ok(Contents {
                packages: vec![package],
                libraries: libraries::collect(tree, PROGRAM, folder)?,
                ..Contents::default()
            })
        }
        Asset::Erlang => erlang::extract(lists, tree, folder),
        Asset::Installer => {
            let package = lists.newest(INSTALLER)?;
            // The package also contains the graphical installer.
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
