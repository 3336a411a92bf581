// SPDX-License-Identifier: MIT OR Apache-2.0

//! The header of a raw arm64 Linux `Image`. Other formats are identified for the error message.
//!
//! Kernels from v3.17 on are accepted. Older ones leave `image_size` 0: they do not say how much
//! memory they need after the end of the file, and they build page tables in the memory before the
//! Image, so no address is known to be safe for them.
//!
//! Sources: Linux, `Documentation/arch/arm64/booting.rst`, section 4 ("Call the kernel image"); for
//! the end of the file, the PE/COFF header that the EFI stub adds (Microsoft PE Format, sections
//! "COFF File Header" and "Section Table").

use thiserror::Error;
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::display::Hex;
use crate::units::{Bytes, Count};

/// The number of bytes of a file that [`ImageHeader::parse`] needs: the header, and the PE header
/// with its section table, which Linux keeps within the first page.
pub const PROBE_SIZE: usize = 4096;

/// `ARM\x64`, the magic number of the header, little-endian.
const MAGIC: u32 = 0x644d_5241;

/// The alignment of `text_offset` in bytes: kernels assume that they start on a page boundary, and
/// even a random offset is a whole number of pages (Linux up to v5.8, `arch/arm64/Makefile`,
/// `CONFIG_ARM64_RANDOMIZE_TEXT_OFFSET`).
const TEXT_OFFSET_ALIGNMENT: u64 = 4096;

/// The 64 bytes of the header.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawHeader {
    code: [U32; 2],
    text_offset: U64,
    image_size: U64,
    flags: U64,
    reserved: [U64; 3],
    magic: U32,
    pe_offset: U32,
}

/// A section of the PE/COFF section table.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawSection {
    name: [u8; 8],
    virtual_size: U32,
    virtual_address: U32,
    raw_size: U32,
    raw_offset: U32,
    unused: [U32; 4],
}

/// The page size that a kernel was built for (booting.rst, flags bits 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// Not specified by the kernel.
    Unspecified,
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl PageSize {
    /// Returns the size in KiB, or `None` if it is unspecified.
    #[must_use]
    pub fn kib(self) -> Option<u32> {
        match self {
            Self::Unspecified => None,
            Self::K4 => Some(4),
            Self::K16 => Some(16),
            Self::K64 => Some(64),
        }
    }

    /// Whether a CPU with this ID_AA64MMFR0_EL1 supports the page size (Arm ARM, D19.2.67: TGran4
    /// in bits 31 to 28, TGran64 in bits 27 to 24, where 0b1111 means unsupported; TGran16 in bits
    /// 23 to 20, where 0 means unsupported).
    #[must_use]
    pub fn is_offered_by(self, id_aa64mmfr0_el1: u64) -> bool {
        let field = |shift: u32| (id_aa64mmfr0_el1 >> shift) & 0xf;
        match self {
            Self::Unspecified => true,
            Self::K4 => field(28) != 0xf,
            Self::K16 => field(20) != 0,
            Self::K64 => field(24) != 0xf,
        }
    }
}

/// The fields of an Image's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// The offset of the Image from a 2 MiB boundary, in bytes.
    pub text_offset: Bytes,
    /// The memory in bytes that the kernel needs from its start on, including BSS; never 0.
    pub image_size: Bytes,
    /// The length of the file in bytes according to its PE header, or `None` without one.
    pub file_size: Option<Bytes>,
    /// Whether the kernel is big-endian.
    pub big_endian: bool,
    /// The page size that the kernel was built for.
    pub page_size: PageSize,
    /// Flag bit 3, which kernels from v4.6 on set: the 2 MiB boundary may be anywhere in memory,
    /// and the kernel uses the memory below it too.
    pub anywhere: bool,
}

impl ImageHeader {
    /// Parses the header in the first bytes of a file, of which [`PROBE_SIZE`] are enough.
    ///
    /// # Errors
    ///
    /// When the file is not a raw arm64 Image (with its format, if known), or the header is damaged
    /// or from before v3.17.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let (header, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| ImageError::TooShort {
            length: bytes.len().into(),
        })?;
        if header.magic.get() != MAGIC {
            return Err(identify(bytes, header.magic.get()));
        }
        if is_zboot(bytes) {
            return Err(ImageError::NotRaw(Content::EfiZboot));
        }
        let image_size = header.image_size.get();
        if image_size == 0 {
            return Err(ImageError::NoSize);
        }
        let text_offset = header.text_offset.get();
        if !text_offset.is_multiple_of(TEXT_OFFSET_ALIGNMENT) {
            let text_offset = Bytes(text_offset);
            return Err(ImageError::TextOffset { text_offset });
        }
        let flags = header.flags.get();
        let file_size =
            pe_file_size(bytes, header.pe_offset.get() as usize).filter(|size| *size <= image_size);
        Ok(Self {
            text_offset: Bytes(text_offset),
            image_size: Bytes(image_size),
            file_size: file_size.map(Bytes),
            big_endian: flags & 1 != 0,
            page_size: match (flags >> 1) & 3 {
                1 => PageSize::K4,
                2 => PageSize::K16,
                3 => PageSize::K64,
                _ => PageSize::Unspecified,
            },
            anywhere: flags & 8 != 0,
        })
    }

    /// Returns the number of bytes to read from the disk: up to the end of the file if that is
    /// known, otherwise all of the memory that the kernel needs.
    #[must_use]
    pub fn bytes_to_read(&self) -> Bytes {
        self.file_size.unwrap_or(self.image_size)
    }
}

/// Returns the end of the last section in a PE file, in bytes, or `None` if there is no PE header
/// with sections.
fn pe_file_size(bytes: &[u8], pe_offset: usize) -> Option<u64> {
    let signature = bytes.get(pe_offset..)?;
    let coff = signature.strip_prefix(b"PE\0\0")?;
    let number_of_sections = U16::ref_from_prefix(coff.get(2..)?).ok()?.0.get();
    let optional_header_size = U16::ref_from_prefix(coff.get(16..)?).ok()?.0.get();
    let table = coff.get(20 + usize::from(optional_header_size)..)?;
    let (sections, _) =
        <[RawSection]>::ref_from_prefix_with_elems(table, number_of_sections.into()).ok()?;
    sections
        .iter()
        .map(|section| u64::from(section.raw_offset.get()) + u64::from(section.raw_size.get()))
        .max()
        .filter(|size| *size > 0)
}

/// Whether this is an EFI application that unpacks a kernel (Linux,
/// `drivers/firmware/efi/libstub/zboot-header.S`).
fn is_zboot(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MZ") && bytes.get(4..8) == Some(b"zimg")
}

/// Identifies the format of a file that is not an Image.
fn identify(bytes: &[u8], magic: u32) -> ImageError {
    const KNOWN: [(&[u8], Content); 13] = [
        (b"\x1f\x8b", Content::Gzip),
        (b"\x7fELF", Content::Elf),
        (b"\x28\xb5\x2f\xfd", Content::Zstd),
        (b"\xfd7zXZ\0", Content::Xz),
        (b"\x02\x21\x4c\x18", Content::Lz4),
        (b"\x04\x22\x4d\x18", Content::Lz4),
        (b"BZh", Content::Bzip2),
        (b"\x5d\0\0", Content::Lzma),
        (b"\x89LZO", Content::Lzo),
        (b"\xd0\x0d\xfe\xed", Content::DeviceTree),
        (b"\x27\x05\x19\x56", Content::UImage),
        (b"hsqs", Content::Squashfs),
        (b"070701", Content::Cpio),
    ];
    let content = if bytes.iter().all(|byte| *byte == 0) {
        Some(Content::Zeroes)
    } else if bytes.iter().all(|byte| *byte == 0xff) {
        Some(Content::Erased)
    } else if is_zboot(bytes) {
        Some(Content::EfiZboot)
    } else if bytes.starts_with(b"MZ") {
        Some(Content::Efi)
    } else {
        KNOWN
            .iter()
            .find(|(start, _)| bytes.starts_with(start))
            .map(|(_, content)| *content)
    };
    content.map_or(ImageError::BadMagic { magic }, ImageError::NotRaw)
}

/// What was found in place of an Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Content {
    /// Nothing was written there.
    #[error("only zeroes")]
    Zeroes,
    /// Erased flash, or nothing written.
    #[error("only 0xff")]
    Erased,
    /// A file compressed with gzip.
    #[error("a gzip file")]
    Gzip,
    /// A kernel that unpacks itself under EFI.
    #[error("an EFI zboot kernel")]
    EfiZboot,
    /// Another EFI program, or a kernel of another architecture.
    #[error("an EFI program that is not an arm64 Image")]
    Efi,
    /// An ELF file such as vmlinux.
    #[error("an ELF file")]
    Elf,
    /// A file compressed with zstd.
    #[error("a zstd file")]
    Zstd,
    /// A file compressed with xz.
    #[error("an xz file")]
    Xz,
    /// A file compressed with lz4.
    #[error("an lz4 file")]
    Lz4,
    /// A file compressed with bzip2.
    #[error("a bzip2 file")]
    Bzip2,
    /// A file compressed with lzma.
    #[error("an lzma file")]
    Lzma,
    /// A file compressed with lzop.
    #[error("an lzop file")]
    Lzo,
    /// A device tree, or a FIT image, which is one.
    #[error("a device tree or FIT image")]
    DeviceTree,
    /// U-Boot's legacy image format.
    #[error("a U-Boot uImage")]
    UImage,
    /// A squashfs file system.
    #[error("a squashfs")]
    Squashfs,
    /// A cpio archive such as an initrd.
    #[error("a cpio archive")]
    Cpio,
}

/// A reason why a file cannot be booted as a raw arm64 Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// The file is shorter than a header.
    #[error("{length} bytes are too few for an Image")]
    TooShort {
        /// The number of bytes.
        length: Count,
    },
    /// The file has another known format.
    #[error("not a raw arm64 Image but {0}")]
    NotRaw(Content),
    /// The file has an unknown format.
    #[error("not a raw arm64 Image (magic {} at offset 56, not 0x644d5241)", Hex(u64::from(*magic), 8))]
    BadMagic {
        /// The word at offset 56, little-endian.
        magic: u32,
    },
    /// The kernel would not start on a page boundary.
    #[error("text_offset is {}, not a multiple of 4096: the header is damaged", Hex(text_offset.0, 1))]
    TextOffset {
        /// The header's field, in bytes.
        text_offset: Bytes,
    },
    /// The header does not say how much memory the kernel needs.
    #[error(
        "image_size is 0: a kernel from before v3.17, which does not say how much memory it needs"
    )]
    NoSize,
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Builds an Image, with a PE header whose sections end at `file_end`, in Linux's layout.
    fn image(text_offset: u64, image_size: u64, flags: u64, file_end: Option<u32>) -> Vec<u8> {
        let mut bytes = vec![0; PROBE_SIZE];
        bytes[8..16].copy_from_slice(&text_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&image_size.to_le_bytes());
        bytes[24..32].copy_from_slice(&flags.to_le_bytes());
        bytes[56..60].copy_from_slice(&MAGIC.to_le_bytes());
        if let Some(end) = file_end {
            bytes[..2].copy_from_slice(b"MZ");
            bytes[60..64].copy_from_slice(&64_u32.to_le_bytes());
            bytes[64..68].copy_from_slice(b"PE\0\0");
            bytes[70..72].copy_from_slice(&2_u16.to_le_bytes());
            bytes[84..86].copy_from_slice(&160_u16.to_le_bytes());
            let table = 68 + 20 + 160;
            for (index, (offset, size)) in [(0x1_0000, 0x2_0000), (0x3_0000, end - 0x3_0000)]
                .into_iter()
                .enumerate()
            {
                let section = table + 40 * index;
                bytes[section + 16..section + 20].copy_from_slice(&u32::to_le_bytes(size));
                bytes[section + 20..section + 24].copy_from_slice(&u32::to_le_bytes(offset));
            }
        }
        bytes
    }

    #[test]
    fn a_kernel_with_efi_stub_has_its_file_size_in_the_header() {
        let header = ImageHeader::parse(&image(0, 0x20_0000, 0b1010, Some(0x12_3400))).unwrap();
        assert_eq!(header.file_size, Some(Bytes(0x12_3400)));
        assert_eq!(header.bytes_to_read(), Bytes(0x12_3400));
        assert_eq!(header.page_size, PageSize::K4);
        assert!(header.anywhere);
        assert!(!header.big_endian);
    }

    #[test]
    fn without_a_pe_header_all_of_image_size_is_read() {
        let header = ImageHeader::parse(&image(0x8_0000, 0x20_0000, 0b0111, None)).unwrap();
        assert_eq!(header.bytes_to_read(), Bytes(0x20_0000));
        assert_eq!(header.text_offset, Bytes(0x8_0000));
        assert_eq!(header.page_size, PageSize::K64);
        assert!(header.big_endian);
        assert!(!header.anywhere);
    }

    #[test]
    fn a_pe_header_that_contradicts_image_size_is_not_trusted() {
        let header = ImageHeader::parse(&image(0, 0x4_0000, 0, Some(0x5_0000))).unwrap();
        assert_eq!(header.bytes_to_read(), Bytes(0x4_0000));
    }

    #[test]
    fn a_kernel_that_does_not_say_how_much_memory_it_needs_is_refused() {
        for file_end in [None, Some(0x12_3400)] {
            assert_eq!(
                ImageHeader::parse(&image(0x8_0000, 0, 0, file_end)),
                Err(ImageError::NoSize)
            );
        }
    }

    #[test]
    fn a_text_offset_is_whole_pages() {
        for good in [0, 0x1000, 0x8_0000, 0x1f_f000] {
            ImageHeader::parse(&image(good, 0x20_0000, 0, None)).unwrap();
        }
        for text_offset in [1, 0x800, 0x8_0008, u64::MAX] {
            assert_eq!(
                ImageHeader::parse(&image(text_offset, 0x20_0000, 0, None)),
                Err(ImageError::TextOffset {
                    text_offset: Bytes(text_offset)
                })
            );
        }
    }

    #[test]
    fn what_is_not_an_image_is_named() {
        let named = |start: &[u8]| {
            let mut bytes = vec![0; 512];
            bytes[..start.len()].copy_from_slice(start);
            ImageHeader::parse(&bytes).unwrap_err().to_string()
        };
        assert_eq!(named(b""), "not a raw arm64 Image but only zeroes");
        assert_eq!(
            named(b"\x1f\x8b\x08"),
            "not a raw arm64 Image but a gzip file"
        );
        assert_eq!(
            named(b"MZ\0\0zimg"),
            "not a raw arm64 Image but an EFI zboot kernel"
        );
        assert_eq!(
            named(b"\x7fELF\x02"),
            "not a raw arm64 Image but an ELF file"
        );
        assert_eq!(
            ImageHeader::parse(&[0xff; 512]).unwrap_err(),
            ImageError::NotRaw(Content::Erased)
        );
        assert_eq!(
            named(b"hello"),
            "not a raw arm64 Image (magic 0x00000000 at offset 56, not 0x644d5241)"
        );
    }

    #[test]
    fn a_page_size_is_offered_as_the_id_register_says() {
        let cortex_a57 = 0x1124;
        assert!(PageSize::K4.is_offered_by(cortex_a57));
        assert!(PageSize::K64.is_offered_by(cortex_a57));
        assert!(!PageSize::K16.is_offered_by(cortex_a57));
        assert!(PageSize::K16.is_offered_by(1 << 20));
        assert!(!PageSize::K4.is_offered_by(0xf << 28));
        assert!(!PageSize::K64.is_offered_by(0xf << 24));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_no_size_exceeds_image_size(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..700),
            magic: bool,
            pe_offset in 0_u32..700,
        ) {
            if magic && bytes.len() >= 64 {
                bytes[56..60].copy_from_slice(&MAGIC.to_le_bytes());
                bytes[60..64].copy_from_slice(&pe_offset.to_le_bytes());
                if let Some(signature) = bytes.get_mut(pe_offset as usize..pe_offset as usize + 4) {
                    signature.copy_from_slice(b"PE\0\0");
                }
            }
            if let Ok(header) = ImageHeader::parse(&bytes)
                && let Some(size) = header.file_size
            {
                prop_assert!(size <= header.image_size);
            }
        }
    }
}
