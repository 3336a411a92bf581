// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use goblin::elf::Elf;

use super::error::ModulesError;

/// The extensions of module files: as they are, and compressed.
const EXTENSIONS: [&str; 4] = ["ko", "ko.gz", "ko.xz", "ko.zst"];

/// What a module needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modinfo {
    /// The modules whose symbols it uses.
    pub(super) depends: Vec<String>,
    /// The modules to load before it if they exist.
    pub(super) soft: Vec<String>,
}

impl Modinfo {
    /// Reads the section .modinfo; returns `None` if there is none.
    pub(super) fn parse(module: &[u8]) -> Option<Self> {
        let elf = Elf::parse(module).ok()?;
        let section = elf
            .section_headers
            .iter()
            .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(".modinfo"))?;
        let content = module.get(section.file_range()?)?;
        let mut info = Self::default();
        for entry in content.split(|&byte| byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            if let Some(list) = entry.strip_prefix("depends=") {
                let names = list.split(',').filter(|name| !name.is_empty());
                info.depends.extend(names.map(normalized));
            } else if let Some(list) = entry.strip_prefix("softdep=") {
                info.soft.extend(loaded_before(list));
            }
        }
        Some(info)
    }
}

/// Returns the modules after `pre:` in a list such as `pre: a b post: c`.
fn loaded_before(list: &str) -> Vec<String> {
    let mut is_before = false;
    let mut names = Vec::new();
    for word in list.split_whitespace() {
        match word {
            "pre:" => is_before = true,
            "post:" => is_before = false,
            name if is_before => names.push(normalized(name)),
            _ => {}
        }
    }
    names
}

/// Returns the name as the kernel spells it: the names of files may contain `-` for `_`.
pub(super) fn normalized(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the module's name, `virtio_mmio` for `virtio-mmio.ko.xz`; `None` for other files.
pub(super) fn module_name(file: &str) -> Option<String> {
    let (name, extension) = file.split_once('.')?;
    EXTENSIONS.contains(&extension).then(|| normalized(name))
}

/// Reads a module and decompresses it.
pub(super) fn read_module(path: &Path) -> Result<Vec<u8>, ModulesError> {
    let failed = |error| ModulesError::Read {
        path: path.into(),
        error,
    };
    let bytes = fs::read(path).map_err(failed)?;
    let mut module = Vec::new();
    let mut decoder: Box<dyn Read + '_> = match path.extension().and_then(|name| name.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(bytes.as_slice())),
        Some("xz") => Box::new(lzma_rust2::XzReader::new(bytes.as_slice(), true)),
        Some("zst") => Box::new(
            ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
                .map_err(|error| failed(io::Error::other(error.to_string())))?,
        ),
        _ => return Ok(bytes),
    };
    decoder.read_to_end(&mut module).map_err(failed)?;
    drop(decoder);
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::module;
    use super::*;

    #[test]
    fn module_names() {
        for (file, name) in [
            ("virtio-mmio.ko.xz", Some("virtio_mmio")),
            ("squashfs.ko", Some("squashfs")),
            ("f2fs.ko.gz", Some("f2fs")),
            ("ext4.ko.zst", Some("ext4")),
            ("modules.order", None),
            ("x.kokoro", None),
            ("x.ko.debug", None),
        ] {
            assert_eq!(module_name(file).as_deref(), name, "{file}");
        }
    }

    #[test]
    fn dependencies_come_from_modinfo() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            Modinfo::parse(&module(&[
                "license=GPL",
                "depends=virtio,virtio-ring",
                "softdep=pre: crc32 lz4-x post: later",
                "softdep=post: never pre: xxhash",
                "name=test",
            ])),
            Some(Modinfo {
                depends: names(&["virtio", "virtio_ring"]),
                soft: names(&["crc32", "lz4_x", "xxhash"]),
            })
        );
        assert_eq!(
            Modinfo::parse(&module(&["depends="])),
            Some(Modinfo::default())
        );
        assert_eq!(Modinfo::parse(b"text"), None);
    }
}
