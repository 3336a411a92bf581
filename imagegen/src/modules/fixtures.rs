// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A root file system with modules.
pub(super) struct Tree {
    folder: TempDir,
    release: String,
}

impl Tree {
    pub(super) fn new(release: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            release: release.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What follows belongs to another kernel.
    pub(super) fn release(mut self, release: &str) -> Self {
        release.clone_into(&mut self.release);
        self
    }

    pub(super) fn builtin(self, path: &str) -> Self {
        self.file("modules.builtin", format!("{path}\n").as_bytes())
    }

    /// Adds a module, compressed as the name says.
    pub(super) fn module(self, path: &str, modinfo: &[&str]) -> Self {
        let module = module(modinfo);
        let bytes = match path.rsplit('.').next() {
            Some("gz") => gzip(&module),
            Some("xz") => xz(&module),
            Some("zst") => zstd(&module),
            _ => module,
        };
        self.file(path, &bytes)
    }

    pub(super) fn file(self, path: &str, bytes: &[u8]) -> Self {
        let place: PathBuf = self
            .path()
            .join("lib/modules")
            .join(&self.release)
            .join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
        self
    }
}

/// Returns an ELF64 file for AArch64 with a section `.modinfo` of these entries.
pub(super) fn module(modinfo: &[&str]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let content: Vec<u8> = modinfo
        .iter()
        .flat_map(|entry| entry.bytes().chain([0]))
        .collect();
    let (names_at, content_at) = (64, 64 + NAMES.len());
    let headers_at = (content_at + content.len()).next_multiple_of(8);
    // A relocatable file.
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\xb7\0\x01\0\0\0".to_vec();
    for word in [0, 0, headers_at as u64] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    // A file header of 64 bytes, no program headers, 3 section headers of 64 bytes; the section
    // names are in section 2.
    for count in [64_u16, 0, 0, 64, 3, 2] {
        bytes.extend(count.to_le_bytes());
    }
    bytes.extend(NAMES);
    bytes.extend(&content);
    bytes.resize(headers_at + 64, 0);
    for (name, kind, at, length) in [
        (1_u32, 1_u32, content_at, content.len()),
        (10, 3, names_at, NAMES.len()),
    ] {
        bytes.extend(name.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        for word in [0, 0, at as u64, length as u64, 0, 1, 0] {
            // Flags, address, offset, size, link and info, alignment, entry size.
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}
