// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files of a host with KVM, all for arm64.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::emulator::PROGRAM;
use crate::newc::Archive;

const INIT: &[u8] = include_bytes!("../../guest/kvm-host-init");

/// The folders of the host's initrd.
const FOLDERS: [&str; 5] = ["bin", "dev", "files", "lib", "modules"];

/// The files of a host with KVM, all for arm64.
#[derive(Clone, Debug)]
pub struct Userland {
    /// A raw Image of Linux with KVM.
    pub kernel: PathBuf,
    /// The modules for virtio disks, in the order in which they load.
    pub modules: Vec<PathBuf>,
    /// A statically linked busybox.
    pub busybox: PathBuf,
    /// QEMU's emulator.
    pub qemu: PathBuf,
    /// The dynamic linker and all libraries of QEMU.
    pub libraries: Vec<PathBuf>,
}

impl Userland {
    /// Returns an initrd that runs `script`; `files` are the files of its folder `/files`.
    pub(super) fn initrd(&self, script: &str, files: &[PathBuf]) -> io::Result<Vec<u8>> {
        let mut archive = Archive::default();
        for folder in FOLDERS {
            archive.folder(folder)?;
        }
        // The kernel opens the console before /dev is mounted.
        archive.device("dev/console", 5, 1)?;
        archive.program("init", INIT)?;
        archive.program("bin/busybox", &read(&self.busybox)?)?;
        archive.program(&format!("bin/{PROGRAM}"), &read(&self.qemu)?)?;
        for library in &self.libraries {
            archive.program(&format!("lib/{}", name(library)), &read(library)?)?;
        }
        let mut order = String::new();
        for module in &self.modules {
            archive.file(&format!("modules/{}", name(module)), &read(module)?)?;
            order += &name(module);
            order.push('\n');
        }
        archive.file("modules/order", order.as_bytes())?;
        archive.file("guests", script.as_bytes())?;
        for (index, path) in files.iter().enumerate() {
            archive.file(&inside(index)[1..], &read(path)?)?;
        }
        archive.finish()
    }
}

/// Returns the path inside the host of the file with this index.
pub(super) fn inside(index: usize) -> String {
    format!("/files/{index}")
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Reads a file; the error contains its path.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
