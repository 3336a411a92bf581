// SPDX-License-Identifier: MIT OR Apache-2.0

//! The demo's initrd: Debian's busybox and kernel modules.

use std::fs;
use std::io;
use std::path::Path;

use imagegen::initrd::{Busybox, Initrd};

use crate::setup::debian::assets::kit::Kit;

/// Makes the initrd.
///
/// # Errors
/// When a file of `kit` cannot be read, or its busybox is not a static program for arm64.
pub fn make(kit: &Kit) -> io::Result<Vec<u8>> {
    let busybox = Busybox::new(fs::read(kit.busybox())?).map_err(io::Error::other)?;
    let mut initrd = Initrd::new(busybox);
    for module in kit.modules() {
        initrd = initrd.module(file_name(&module), fs::read(&module)?);
    }
    initrd.build()
}

/// Returns the last component of `path`.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
