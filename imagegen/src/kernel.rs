// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernels as they are shipped: a raw arm64 `Image`, the same packed by gzip, or an EFI zboot `vmlinuz`, which carries the
//! Image packed inside a small EFI program. The loader reads raw Images only, so they are unpacked here.

mod zboot;

use std::io::{self, Read};

use little_loader_core::kernel::image::{ImageError, ImageHeader};

/// The most bytes an unpacked kernel may have: what is larger is no kernel but a mistake, or an attack.
const MAX_KERNEL: u64 = 1 << 30;

/// A kernel, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The raw Image.
    pub image: Vec<u8>,
    /// What its header says.
    pub header: ImageHeader,
    /// How it was packed, outermost first.
    pub packed: Vec<&'static str>,
}

/// Why a file is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file is something else.
    #[error("{0}; give a raw arm64 Image, an Image.gz or an EFI zboot vmlinuz")]
    NoImage(ImageError),
    /// The file is a kernel for a PC.
    #[error("an x86 bzImage; give a kernel for arm64")]
    BzImage,
    /// The kernel is too old to say how much memory it needs.
    #[error(transparent)]
    NoSize(ImageError),
    /// It is longer or shorter than its header says.
    #[error(
        "the Image has {length} bytes, and its header says that the file ends at {expected}: a truncated file?"
    )]
    Truncated {
        /// The bytes there are.
        length: u64,
        /// The bytes the header speaks of.
        expected: u64,
    },
    /// The packed data is damaged.
    #[error("cannot unpack the {method} data: {error}")]
    Damaged {
        /// The packing.
        method: &'static str,
        /// What the decoder said.
        error: io::Error,
    },
    /// What a zboot header says cannot be.
    #[error(
        "EFI zboot header: the payload at {offset:#x} with {size:#x} bytes does not lie in the file of {length:#x} bytes"
    )]
    Zboot {
        /// Where the payload would start.
        offset: u64,
        /// Its size.
        size: u64,
        /// The file's size.
        length: u64,
    },
    /// A packing that is not known.
    #[error(
        "EFI zboot payload packed by \"{0}\", which is not supported: rebuild with gzip, zstd, xz, lzma or lz4"
    )]
    ZbootMethod(String),
    /// It is larger than any kernel.
    #[error("the {method} data unpacks to more than 1 GiB: no kernel")]
    TooLarge {
        /// The packing.
        method: &'static str,
    },
    /// Big-endian kernels cannot be booted.
    #[error("the kernel is big-endian; the loader boots little-endian ones only")]
    BigEndian,
}

impl Kernel {
    /// Unpacks a kernel.
    ///
    /// # Errors
    ///
    /// When the bytes are no arm64 kernel in a packing that is known; what they are instead is named.
    pub fn unpack(mut bytes: Vec<u8>) -> Result<Self, KernelError> {
        let mut packed = Vec::new();
        // A zboot kernel may itself be packed by gzip; more layers than that nobody makes.
        for _ in 0..3 {
            if let Some(payload) = zboot::payload(&bytes)? {
                packed.push("EFI zboot");
                bytes = payload;
            } else if bytes.starts_with(b"\x1f\x8b") {
                packed.push("gzip");
                bytes = read_all("gzip", flate2::read::MultiGzDecoder::new(bytes.as_slice()))?;
            } else {
                break;
            }
        }
        // Linux, Documentation/arch/x86/boot.rst: "HdrS" at 0x202.
        if bytes.get(0x202..0x206) == Some(b"HdrS") {
            return Err(KernelError::BzImage);
        }
        let header = ImageHeader::parse(&bytes).map_err(|error| match error {
            ImageError::NoSize => KernelError::NoSize(error),
            _ => KernelError::NoImage(error),
        })?;
        if header.big_endian {
            return Err(KernelError::BigEndian);
        }
        let length = bytes.len() as u64;
        let expected = header.bytes_to_read().0;
        if header.file_size.is_some() && length < expected {
            return Err(KernelError::Truncated { length, expected });
        }
        Ok(Self {
            image: bytes,
            header,
            packed,
        })
    }

    /// How many bytes the loader reads from the disk: more than the file has where the header only tells the memory that
    /// the kernel needs.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        self.header.bytes_to_read().0.max(self.image.len() as u64)
    }
}

/// The version banner inside an Image: `Linux version 6.1.0 …`, up to the end of its text.
#[must_use]
pub fn banner(image: &[u8]) -> Option<String> {
    const START: &[u8] = b"Linux version ";
    let mut rest = image;
    loop {
        // Once as a format string and once as the banner itself: the one that goes on with a digit is the banner.
        let at = find(rest, START)?;
        let text = &rest[at..];
        if text.get(START.len()).is_some_and(u8::is_ascii_digit) {
            let end = text
                .iter()
                .position(|byte| !(b' '..=b'~').contains(byte))
                .unwrap_or(text.len());
            return Some(String::from_utf8_lossy(&text[..end.min(300)]).into_owned());
        }
        rest = &text[START.len()..];
    }
}

/// Where a text starts; looks for its first byte first, which is quick in large files.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(text) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn read_all(method: &'static str, decoder: impl Read) -> Result<Vec<u8>, KernelError> {
    let mut bytes = Vec::new();
    decoder
        .take(MAX_KERNEL + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| KernelError::Damaged { method, error })?;
    if bytes.len() as u64 > MAX_KERNEL {
        return Err(KernelError::TooLarge { method });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A raw Image of `length` bytes with a banner in it.
    pub(super) fn image(length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
        bytes[..64].fill(0);
        bytes[16..24].copy_from_slice(&(length as u64).to_le_bytes());
        bytes[24] = 0b1010;
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes[200..232].copy_from_slice(b"Linux version %s (%s)\0\0\0\0\0\0\0\0\0\0\0");
        bytes[300..330].copy_from_slice(b"Linux version 6.1.0-demo (x)\n\0");
        bytes
    }

    pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn raw_and_packed_give_the_same_image() {
        let image = image(100_000);
        let zboot = zboot::tests::zboot("gzip", &gzip(&image));
        for (bytes, packed) in [
            (image.clone(), vec![]),
            (gzip(&image), vec!["gzip"]),
            (zboot.clone(), vec!["EFI zboot"]),
            (gzip(&zboot), vec!["gzip", "EFI zboot"]),
        ] {
            let kernel = Kernel::unpack(bytes).unwrap();
            assert!(kernel.image == image, "{packed:?}");
            assert_eq!(kernel.packed, packed);
        }
    }

    #[test]
    fn what_is_no_kernel_is_named() {
        let error = |bytes: &[u8]| Kernel::unpack(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(
            error(b"\x7fELF and so on, long enough to hold the sixty-four bytes of a header"),
            "not a raw arm64 Image but an ELF file; give a raw arm64 Image, an Image.gz or an EFI zboot vmlinuz"
        );
        for (start, wanted) in [
            (
                &[0; 4096][..],
                "not a raw arm64 Image but only zeroes; give",
            ),
            (b"short", "5 bytes are too few for an Image; give"),
            (
                &[b"\x27\x05\x19\x56".as_slice(), &[1; 64]].concat(),
                "a U-Boot uImage; give",
            ),
            (
                &[b"\xd0\x0d\xfe\xed".as_slice(), &[1; 64]].concat(),
                "or FIT image; give",
            ),
            (
                &[b"\xfd7zXZ\0".as_slice(), &[1; 64]].concat(),
                "an xz file; give",
            ),
        ] {
            assert!(error(start).contains(wanted), "{}", error(start));
        }
        let mut pc = vec![0; 1024];
        pc[..2].copy_from_slice(b"MZ");
        pc[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(error(&pc), "an x86 bzImage; give a kernel for arm64");
        let mut old = image(5000);
        old[16..24].fill(0);
        assert!(error(&old).starts_with("image_size is 0: a kernel from before v3.17"));
        let mut cut = gzip(&image(5000));
        cut.truncate(100);
        assert!(error(&cut).starts_with("cannot unpack the gzip data"));
        let mut big_endian = image(5000);
        big_endian[24] |= 1;
        assert!(error(&big_endian).contains("big-endian"));
    }

    #[test]
    fn the_banner_is_found() {
        assert_eq!(
            banner(&image(5000)).unwrap(),
            "Linux version 6.1.0-demo (x)"
        );
        assert_eq!(banner(&[b'L'; 5000]), None);
        assert_eq!(banner(b""), None);
    }
}
