// SPDX-License-Identifier: MIT OR Apache-2.0

//! The demo's root file system as a folder: busybox with links for its commands, a start script,
//! and modules to load on demand.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::initrd::file_name;
use crate::setup::debian::assets::kit::Kit;

/// Scripts and tables: path, contents, and whether the file is executable.
const FILES: [(&str, &[u8], bool); 3] = [
    ("etc/inittab", include_bytes!("../../guest/inittab"), false),
    ("etc/init.d/rcS", include_bytes!("../../guest/rcS"), true),
    (
        "etc/udhcpc/default.script",
        include_bytes!("../../guest/udhcpc"),
        true,
    ),
];

/// The commands for a shell and for the scripts. busybox cannot list them on the host, because it
/// is an arm64 program.
const IN_BIN: &str = "ash cat chmod clear cp cut date dd df dmesg du echo env false fdisk find free grep head hexdump \
                      hostname ip kill less ln ls lsmod md5sum mkdir more mount mv ping ps pwd rm sed sh sha256sum \
                      sleep sort sync tail time top touch true umount uname uptime vi wc wget which zcat";
const IN_SBIN: &str = "halt init insmod modprobe poweroff reboot rmmod udhcpc watchdog";

/// Fills the empty folder `root`.
///
/// # Errors
/// When `root` cannot be written, or busybox cannot be read.
pub fn fill(root: &Path, kit: &Kit) -> io::Result<()> {
    for folder in [
        "bin",
        "dev",
        "etc/init.d",
        "etc/udhcpc",
        "mnt",
        "proc",
        "root",
        "run",
        "sbin",
        "sys",
        "tmp",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    let put = |path: &str, bytes: &[u8], mode: u32| {
        let path = root.join(path);
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))
    };
    for (path, bytes, is_program) in FILES {
        put(path, bytes, if is_program { 0o755 } else { 0o644 })?;
    }
    put("bin/busybox", &fs::read(kit.busybox())?, 0o755)?;
    for (folder, names) in [("bin", IN_BIN), ("sbin", IN_SBIN)] {
        for name in names.split_whitespace() {
            symlink("/bin/busybox", root.join(folder).join(name))?;
        }
    }
    add_modules(root, kit)
}

/// Adds the modules where `modprobe` looks for them. It loads what a module needs from the last to
/// the first.
fn add_modules(root: &Path, kit: &Kit) -> io::Result<()> {
    let modules = kit.modules_on_demand();
    if modules.is_empty() {
        return Ok(());
    }
    let folder = root.join("lib/modules").join(kit.kernel_release());
    fs::create_dir_all(&folder)?;
    let mut dependencies = String::new();
    for (module, needed) in &modules {
        let name = file_name(module);
        fs::copy(module, folder.join(&name))?;
        let needed: String = needed.iter().rev().map(|name| format!(" {name}")).collect();
        dependencies += &format!("{name}:{needed}\n");
    }
    fs::write(folder.join("modules.dep"), dependencies)
}
