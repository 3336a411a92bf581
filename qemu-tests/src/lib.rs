// SPDX-License-Identifier: MIT OR Apache-2.0

//! The library behind `cargo qemu`: setup of a development machine, bare-metal builds, disks to
//! boot, measurements, and the [`harness`] that runs QEMU.

#![forbid(unsafe_code)]

pub mod artifacts;
pub mod bench;
pub mod build;
pub mod caches;
pub mod demo;
pub mod harness;
pub mod output;
pub mod paths;
pub mod scratch;
pub mod setup;
pub mod toolchain;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The `.rs` files below `folder`.
    fn sources(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        paths
            .flat_map(|path| {
                if path.is_dir() {
                    sources(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn the_harness_uses_nothing_else_of_this_project() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/harness");
        let files = sources(&folder);
        assert!(files.len() > 10, "{files:?}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let text = text
                .replace("crate::harness::", "")
                .replace("qemu_tests::harness::", "");
            for foreign in [
                "crate::",
                "qemu_tests::",
                "imagegen::",
                "little_loader_core::",
            ] {
                assert!(!text.contains(foreign), "{foreign} in {}", file.display());
            }
        }
    }
}
