// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a bare-metal ELF loads where, by goblin.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;
use thiserror::Error;

/// Where the loader is linked, and enters: 1 MiB into RAM, which is the lowest address at which QEMU still hands an ELF
/// the device tree.
pub const LOADER_BASE: u64 = 0x4010_0000;
/// Where the kernel may begin, so the loader must end before.
pub const LOADER_END: u64 = 0x4020_0000;

/// Why an ELF is not what it has to be.
#[derive(Debug, Error)]
pub enum ElfError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The ELF.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no ELF, or a damaged one.
    #[error("{path} is not a whole ELF")]
    Parse {
        /// The ELF.
        path: PathBuf,
        /// What goblin found.
        source: goblin::error::Error,
    },
    /// It has no loadable segment, or one that reaches out of the file.
    #[error("{path} has no loadable segment within the file")]
    Segments {
        /// The ELF.
        path: PathBuf,
    },
    /// It does not lie where QEMU and the loader need it.
    #[error(
        "{path} spans {start:#x} to {end:#x} and enters at {entry:#x}; it must start and enter at {LOADER_BASE:#x} \
         and end by {LOADER_END:#x} (see linker/loader.ld)"
    )]
    Place {
        /// The ELF.
        path: PathBuf,
        /// The lowest address of a segment.
        start: u64,
        /// One past the highest address in memory.
        end: u64,
        /// The entry point.
        entry: u64,
    },
}

/// An ELF's loadable segments.
#[derive(Debug)]
pub struct Loadable {
    path: PathBuf,
    /// The first instruction.
    pub entry: u64,
    /// The lowest physical address.
    pub start: u64,
    /// One past the highest physical address in memory, BSS included.
    pub end: u64,
    /// Bytes that are loaded from the file: code, constants and initial values.
    pub loaded: u64,
    flat: Vec<u8>,
}

impl Loadable {
    /// Reads the ELF at `path`.
    ///
    /// # Errors
    /// Every [`ElfError`] but [`ElfError::Place`].
    pub fn read(path: &Path) -> Result<Self, ElfError> {
        let bytes = fs::read(path).map_err(|source| ElfError::Read {
            path: path.into(),
            source,
        })?;
        let elf = Elf::parse(&bytes).map_err(|source| ElfError::Parse {
            path: path.into(),
            source,
        })?;
        let segments: Vec<_> = elf
            .program_headers
            .iter()
            .filter(|header| header.p_type == PT_LOAD && header.p_memsz != 0)
            .collect();
        let bad = || ElfError::Segments { path: path.into() };
        let start = segments
            .iter()
            .map(|segment| segment.p_paddr)
            .min()
            .ok_or_else(bad)?;
        let end = segments
            .iter()
            .map(|segment| segment.p_paddr.saturating_add(segment.p_memsz))
            .max();
        let mut flat = Vec::new();
        for segment in &segments {
            let content = bytes.get(segment.file_range()).ok_or_else(bad)?;
            if content.is_empty() {
                continue;
            }
            let offset = usize::try_from(segment.p_paddr - start)
                .ok()
                .filter(|&offset| offset <= 64 << 20);
            let offset = offset.ok_or_else(bad)?;
            if flat.len() < offset + content.len() {
                flat.resize(offset + content.len(), 0);
            }
            flat[offset..offset + content.len()].copy_from_slice(content);
        }
        let loaded = segments.iter().map(|segment| segment.p_filesz).sum();
        Ok(Self {
            path: path.into(),
            entry: elf.entry,
            start,
            end: end.ok_or_else(bad)?,
            loaded,
            flat,
        })
    }

    /// The bytes as they lie in memory from [`Loadable::start`] on, without the BSS at the end.
    #[must_use]
    pub fn flat(&self) -> &[u8] {
        &self.flat
    }

    /// Checks what QEMU asks of the loader's ELF.
    ///
    /// # Errors
    /// [`ElfError::Place`].
    pub fn check_loader(&self) -> Result<(), ElfError> {
        if self.entry == LOADER_BASE && self.start == LOADER_BASE && self.end <= LOADER_END {
            return Ok(());
        }
        let (start, end, entry) = (self.start, self.end, self.entry);
        Err(ElfError::Place {
            path: self.path.clone(),
            start,
            end,
            entry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little-endian ELF64 for AArch64 with two segments of four bytes, `gap` apart, the second with BSS behind it.
    fn elf(start: u64, gap: u64, bss: u64) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
        bytes.extend(start.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend([64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
        for (index, memory) in [(0u64, 4), (1, 4 + bss)] {
            bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
            let address = start + index * gap;
            for value in [176 + 4 * index, address, address, 4, memory, 4] {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes.extend(*b"codedata");
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Loadable, ElfError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Loadable::read(file.path())
    }

    #[test]
    fn the_flat_form_keeps_gaps_and_drops_the_bss() {
        let loadable = read(&elf(LOADER_BASE, 8, 0x100)).unwrap();
        assert_eq!(loadable.flat(), b"code\0\0\0\0data");
        assert_eq!(
            (loadable.loaded, loadable.end),
            (8, LOADER_BASE + 8 + 4 + 0x100)
        );
        loadable.check_loader().unwrap();
    }

    #[test]
    fn a_loader_in_the_wrong_place_is_refused_with_its_addresses() {
        let low = read(&elf(0x4008_0000, 8, 0))
            .unwrap()
            .check_loader()
            .unwrap_err()
            .to_string();
        assert!(
            low.contains("spans 0x40080000 to 0x4008000c and enters at 0x40080000"),
            "{low}"
        );
        let long = read(&elf(LOADER_BASE, 8, 0x10_0000))
            .unwrap()
            .check_loader()
            .unwrap_err()
            .to_string();
        assert!(long.contains("to 0x4020000c"), "{long}");
    }

    #[test]
    fn a_truncated_elf_is_refused() {
        let whole = elf(LOADER_BASE, 8, 0);
        assert!(matches!(
            read(&whole[..whole.len() - 1]),
            Err(ElfError::Segments { .. })
        ));
        assert!(matches!(read(&whole[..40]), Err(ElfError::Parse { .. })));
    }
}
