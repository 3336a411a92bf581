// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loader's ELF: its segments, its built-in settings, and its flat binary.

use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;
use little_loader_core::settings::{ENCODED_SIZE, SYMBOL, Settings, SettingsError};

/// The address at which the loader is linked and entered: 1 MiB into RAM, the lowest address at
/// which QEMU passes the DTB to an ELF.
pub const LOADER_BASE: u64 = 0x4010_0000;

/// The lowest load address of a kernel. The loader must end before it.
pub const LOADER_END: u64 = 0x4020_0000;

/// The maximum size of a flat binary in bytes: a larger one means that the addresses are wrong.
const MAX_FLAT: u64 = 64 << 20;

/// Why a file is not a usable loader ELF.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file is not an ELF.
    #[error("not an ELF but {0}: give the loader's ELF (little-loader.elf)")]
    NotElf(&'static str),
    /// The ELF is damaged.
    #[error("damaged ELF: {0}")]
    Parse(goblin::error::Error),
    /// The ELF has no loadable segment, or one that extends beyond the end of the file.
    #[error("no loadable segment within the file")]
    Segments,
    /// The segments are too far apart.
    #[error("the segments span {0:#x} bytes; a flat binary can have at most 64 MiB")]
    TooWide(u64),
    /// The addresses are not those that QEMU and the loader need.
    #[error(
        "spans {start:#x} to {end:#x} and enters at {entry:#x}; it must start and enter at {LOADER_BASE:#x} and end by \
         {LOADER_END:#x} (see linker/loader.ld)"
    )]
    Place {
        /// The lowest address of a segment.
        start: u64,
        /// The address after the last byte in memory, including buffers.
        end: u64,
        /// The entry point.
        entry: u64,
    },
    /// The ELF has no settings.
    #[error("no symbol {SYMBOL}: not Little Loader, or its symbols were stripped")]
    NoSettings,
    /// The settings are invalid.
    #[error("settings: {0}")]
    Settings(SettingsError),
}

/// A loadable segment. Addresses and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The physical address.
    pub address: u64,
    /// The offset in the file.
    pub file_offset: u64,
    /// The number of bytes loaded from the file.
    pub file_size: u64,
    /// The number of bytes in memory.
    pub memory_size: u64,
    /// The permissions: `rwx`, with `-` for each that is not set.
    pub flags: [char; 3],
}

/// The sizes in bytes, as the program `size` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SectionSizes {
    /// Code and constants.
    pub text: u64,
    /// Initialized variables.
    pub data: u64,
    /// Variables and buffers that are not stored in the file.
    pub bss: u64,
}

/// The ELF file of a loader.
#[derive(Debug)]
pub struct LoaderElf {
    bytes: Vec<u8>,
    /// The address of the first instruction.
    pub entry: u64,
    /// The loadable segments, sorted by address.
    pub segments: Vec<Segment>,
    /// The total size of each kind of section.
    pub sizes: SectionSizes,
    /// The address after the last allocated section (`SHF_ALLOC`).
    sections_end: u64,
    /// The offset of the settings in the file.
    settings_at: Option<usize>,
}

impl LoaderElf {
    /// Parses an ELF file.
    ///
    /// # Errors
    ///
    /// When the file is not an ELF, is damaged, or has no loadable segment.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ElfError> {
        if !bytes.starts_with(goblin::elf::header::ELFMAG) {
            return Err(ElfError::NotElf(instead(&bytes)));
        }
        let elf = Elf::parse(&bytes).map_err(ElfError::Parse)?;
        let mut segments: Vec<_> = elf
            .program_headers
            .iter()
            .filter(|header| header.p_type == PT_LOAD && header.p_memsz != 0)
            .map(|header| Segment {
                address: header.p_paddr,
                file_offset: header.p_offset,
                file_size: header.p_filesz,
                memory_size: header.p_memsz,
                flags: [
                    if header.is_read() { 'r' } else { '-' },
                    if header.is_write() { 'w' } else { '-' },
                    if header.is_executable() { 'x' } else { '-' },
                ],
            })
            .collect();
        segments.sort_by_key(|segment| segment.address);
        if segments.is_empty()
            || segments
                .iter()
                .any(|segment| content(&bytes, segment).is_none())
        {
            return Err(ElfError::Segments);
        }
        let mut sizes = SectionSizes::default();
        let mut sections_end = 0;
        for section in &elf.section_headers {
            if section.sh_flags & u64::from(goblin::elf::section_header::SHF_ALLOC) == 0 {
                continue;
            }
            let writable =
                section.sh_flags & u64::from(goblin::elf::section_header::SHF_WRITE) != 0;
            let size = if section.sh_type == goblin::elf::section_header::SHT_NOBITS {
                &mut sizes.bss
            } else if writable {
                &mut sizes.data
            } else {
                &mut sizes.text
            };
            *size = size.saturating_add(section.sh_size);
            sections_end = sections_end.max(section.sh_addr.saturating_add(section.sh_size));
        }
        let settings_at = elf
            .syms
            .iter()
            .find(|symbol| elf.strtab.get_at(symbol.st_name) == Some(SYMBOL))
            .and_then(|symbol| {
                segments.iter().find_map(|segment| {
                    let offset = symbol.st_value.checked_sub(segment.address)?;
                    let end = offset.checked_add(ENCODED_SIZE as u64)?;
                    (end <= segment.file_size).then_some(segment.file_offset + offset)
                })
            })
            .and_then(|offset| usize::try_from(offset).ok());
        let entry = elf.entry;
        Ok(Self {
            bytes,
            entry,
            segments,
            sizes,
            sections_end,
            settings_at,
        })
    }

    /// Returns the contents of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the lowest address of a segment.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.address)
    }

    /// Returns the address after the last byte in memory. The loader's BSS and buffers are sections
    /// that belong to no segment.
    #[must_use]
    pub fn end(&self) -> u64 {
        let segments = self.segments.iter();
        segments
            .map(|segment| segment.address.saturating_add(segment.memory_size))
            .fold(self.sections_end, u64::max)
    }

    /// Returns the number of bytes loaded from the file.
    #[must_use]
    pub fn loaded(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_size).sum()
    }

    /// Checks that QEMU and the loader can use the addresses of the ELF.
    ///
    /// # Errors
    ///
    /// [`ElfError::Place`].
    pub fn check_place(&self) -> Result<(), ElfError> {
        let (start, end, entry) = (self.start(), self.end(), self.entry);
        if entry == LOADER_BASE && start == LOADER_BASE && end <= LOADER_END {
            Ok(())
        } else {
            Err(ElfError::Place { start, end, entry })
        }
    }

    /// Returns the contents of memory from [`start`](Self::start) on, with gaps filled with zeroes
    /// and without the BSS at the end.
    ///
    /// # Errors
    ///
    /// When the segments are too far apart.
    pub fn flat(&self) -> Result<Vec<u8>, ElfError> {
        let mut flat = Vec::new();
        for segment in &self.segments {
            let content = content(&self.bytes, segment).ok_or(ElfError::Segments)?;
            let offset = segment.address - self.start();
            let end = offset.saturating_add(content.len() as u64);
            if end > MAX_FLAT {
                return Err(ElfError::TooWide(end));
            }
            let offset = offset as usize;
            if !content.is_empty() {
                flat.resize(flat.len().max(offset + content.len()), 0);
                flat[offset..offset + content.len()].copy_from_slice(content);
            }
        }
        Ok(flat)
    }

    /// Returns the built-in settings.
    ///
    /// # Errors
    ///
    /// When the ELF has no settings, or they are invalid.
    pub fn settings(&self) -> Result<Settings, ElfError> {
        let encoded = self
            .settings_at
            .and_then(|at| self.bytes.get(at..)?.first_chunk())
            .ok_or(ElfError::NoSettings)?;
        Settings::decode(encoded).map_err(ElfError::Settings)
    }

    /// Changes the built-in settings, except the buffer size, which is fixed at build time.
    ///
    /// # Errors
    ///
    /// When the ELF has no settings, or the new ones are invalid. The ELF is then unchanged.
    pub fn set_settings(&mut self, new: Settings) -> Result<(), ElfError> {
        let buffer_size = self.settings()?.buffer_size;
        let new = Settings { buffer_size, ..new };
        new.check().map_err(ElfError::Settings)?;
        if let Some(at) = self.settings_at {
            self.bytes[at..at + ENCODED_SIZE].copy_from_slice(&new.encode());
        }
        Ok(())
    }
}

/// Describes a file that is not an ELF.
fn instead(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        "an empty file"
    } else if bytes.get(56..60) == Some(b"ARM\x64") {
        "a flat arm64 binary, which has no symbols"
    } else {
        "something else"
    }
}

fn content<'a>(bytes: &'a [u8], segment: &Segment) -> Option<&'a [u8]> {
    let start = usize::try_from(segment.file_offset).ok()?;
    let length = usize::try_from(segment.file_size).ok()?;
    bytes.get(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little-endian ELF64 for AArch64 with two segments of four bytes, `gap` apart, the second
    /// followed by BSS.
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

    #[test]
    fn the_flat_form_keeps_gaps_and_drops_the_bss() {
        let elf = LoaderElf::parse(elf(LOADER_BASE, 8, 0x100)).unwrap();
        assert_eq!(elf.flat().unwrap(), b"code\0\0\0\0data");
        assert_eq!((elf.loaded(), elf.end()), (8, LOADER_BASE + 8 + 4 + 0x100));
        elf.check_place().unwrap();
        assert!(matches!(elf.settings(), Err(ElfError::NoSettings)));
    }

    #[test]
    fn a_loader_in_the_wrong_place_is_refused_with_its_addresses() {
        let error = |bytes| {
            LoaderElf::parse(bytes)
                .unwrap()
                .check_place()
                .unwrap_err()
                .to_string()
        };
        assert!(
            error(elf(0x4008_0000, 8, 0))
                .contains("spans 0x40080000 to 0x4008000c and enters at 0x40080000")
        );
        assert!(error(elf(LOADER_BASE, 8, 0x10_0000)).contains("to 0x4020000c"));
    }

    #[test]
    fn damaged_and_huge_elfs_are_refused() {
        let whole = elf(LOADER_BASE, 8, 0);
        assert!(matches!(
            LoaderElf::parse(whole[..whole.len() - 1].to_vec()),
            Err(ElfError::Segments)
        ));
        assert!(matches!(
            LoaderElf::parse(whole[..40].to_vec()),
            Err(ElfError::Parse(_))
        ));
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"ARM\x64");
        let said = |bytes| LoaderElf::parse(bytes).unwrap_err().to_string();
        assert!(said(image).starts_with("not an ELF but a flat arm64 binary"));
        assert!(said(Vec::new()).starts_with("not an ELF but an empty file"));
        let wide = LoaderElf::parse(elf(LOADER_BASE, 1 << 40, 0)).unwrap();
        assert!(matches!(wide.flat(), Err(ElfError::TooWide(_))));
    }
}
