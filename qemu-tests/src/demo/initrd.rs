// SPDX-License-Identifier: MIT OR Apache-2.0

//! The demo's initrd: busybox, kernel modules, and a script.

use std::fs;
use std::io;
use std::path::Path;

use crate::harness::newc::Archive;
use crate::setup::debian::assets::kit::Kit;

const INIT: &[u8] = include_bytes!("../../guest/initrd-init");

/// Makes the initrd, an uncompressed cpio archive in the newc format.
///
/// # Errors
/// When a file of `kit` cannot be read.
pub fn make(kit: &Kit) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules"] {
        archive.folder(folder)?;
    }
    // The kernel opens the console before /dev is mounted; without the node the script would have
    // no output.
    archive.device("dev/console", 5, 1)?;
    archive.program("init", INIT)?;
    archive.program("bin/busybox", &fs::read(kit.busybox())?)?;
    let mut order = String::new();
    for module in kit.modules() {
        let name = file_name(&module);
        archive.file(&format!("modules/{name}"), &fs::read(&module)?)?;
        order += &format!("{name}\n");
    }
    archive.file("modules/order", order.as_bytes())?;
    archive.finish()
}

/// Returns the last component of `path`.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
