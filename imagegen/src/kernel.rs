// SPDX-License-Identifier: MIT OR Apache-2.0

//! Kernels as they are shipped: a raw arm64 `Image`, the same packed by gzip, or an EFI zboot `vmlinuz`, which carries the
//! Image packed inside a small EFI program. The loader reads raw Images only, so they are unpacked here.

use std::io::{self, Read};

use little_loader::image::{ImageError, ImageHeader};

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
    #[error(transparent)]
    NoImage(#[from] ImageError),
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
            if let Some(payload) = zboot_payload(&bytes)? {
                packed.push("EFI zboot");
                bytes = payload;
            } else if bytes.starts_with(b"\x1f\x8b") {
                packed.push("gzip");
                bytes = read_all("gzip", flate2::read::MultiGzDecoder::new(bytes.as_slice()))?;
            } else {
                break;
            }
        }
        let header = ImageHeader::parse(&bytes)?;
        if header.big_endian {
            return Err(KernelError::BigEndian);
        }
        let length = bytes.len() as u64;
        let expected = header.bytes_to_read()?.0;
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
        let read = self.header.bytes_to_read().map_or(0, |bytes| bytes.0);
        read.max(self.image.len() as u64)
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

/// Unpacks the payload of an EFI zboot kernel; `None` when the bytes are no such kernel.
///
/// Source: Linux, `drivers/firmware/efi/libstub/zboot-header.S`: "MZ" at 0, "zimg" at 4, the payload's offset at 8 and its
/// size at 12, and the packing's name at 24, up to a NUL.
fn zboot_payload(bytes: &[u8]) -> Result<Option<Vec<u8>>, KernelError> {
    if !bytes.starts_with(b"MZ") || bytes.get(4..8) != Some(b"zimg") {
        return Ok(None);
    }
    let number = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let (offset, size) = (number(8) as usize, number(12) as usize);
    let length = bytes.len() as u64;
    let payload = offset
        .checked_add(size)
        .and_then(|end| bytes.get(offset..end))
        .filter(|payload| !payload.is_empty())
        .ok_or(KernelError::Zboot {
            offset: offset as u64,
            size: size as u64,
            length,
        })?;
    let name = bytes.get(24..56).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let unpacked = match name {
        // The size of the unpacked data follows gzip and zstd data only in other formats' tools; decoders end by themselves.
        b"gzip" => read_all("gzip", flate2::read::GzDecoder::new(payload)),
        b"zstd" | b"zstd22" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(payload)
                .map_err(|error| damaged("zstd", &error))?;
            read_all("zstd", decoder)
        }
        b"xz" | b"xzkern" => read_all("xz", lzma_rust2::XzReader::new(payload, false)),
        b"lzma" => {
            let decoder = lzma_rust2::LzmaReader::new_mem_limit(payload, 1 << 20, None)
                .map_err(|error| damaged("lzma", &error))?;
            read_all("lzma", decoder)
        }
        b"lz4" => read_all("lz4", lz4_flex::frame::FrameDecoder::new(payload)),
        other => {
            let name = String::from_utf8_lossy(other).into_owned();
            return Err(KernelError::ZbootMethod(name));
        }
    };
    unpacked.map(Some)
}

fn damaged(method: &'static str, error: &dyn std::fmt::Display) -> KernelError {
    KernelError::Damaged {
        method,
        error: io::Error::other(error.to_string()),
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
    fn image(length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
        bytes[..64].fill(0);
        bytes[16..24].copy_from_slice(&(length as u64).to_le_bytes());
        bytes[24] = 0b1010;
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes[200..232].copy_from_slice(b"Linux version %s (%s)\0\0\0\0\0\0\0\0\0\0\0");
        bytes[300..330].copy_from_slice(b"Linux version 6.1.0-demo (x)\n\0");
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zboot(method: &str, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[4..8].copy_from_slice(b"zimg");
        bytes[8..12].copy_from_slice(&512_u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes[24..24 + method.len()].copy_from_slice(method.as_bytes());
        bytes.extend(payload);
        bytes.extend([0; 100]);
        bytes
    }

    #[test]
    fn every_packing_gives_the_same_image() {
        let image = image(100_000);
        let zstd = ruzstd::encoding::compress_to_vec(
            image.as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let mut xz =
            lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        xz.write_all(&image).unwrap();
        let xz = xz.finish().unwrap();
        let options = lzma_rust2::LzmaOptions::with_preset(1);
        let mut lzma = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        lzma.write_all(&image).unwrap();
        let lzma = lzma.finish().unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&image).unwrap();
        let lz4 = lz4.finish().unwrap();
        for (bytes, packed) in [
            (image.clone(), vec![]),
            (gzip(&image), vec!["gzip"]),
            (zboot("gzip", &gzip(&image)), vec!["EFI zboot"]),
            (
                gzip(&zboot("gzip", &gzip(&image))),
                vec!["gzip", "EFI zboot"],
            ),
            (zboot("zstd22", &zstd), vec!["EFI zboot"]),
            (zboot("xzkern", &xz), vec!["EFI zboot"]),
            (zboot("lzma", &lzma), vec!["EFI zboot"]),
            (zboot("lz4", &lz4), vec!["EFI zboot"]),
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
            "no raw arm64 Image but an ELF file"
        );
        assert_eq!(error(&[0; 4096]), "no raw arm64 Image but only zeroes");
        assert_eq!(error(b"short"), "5 bytes are too few for an Image");
        assert!(error(&zboot("lzo", b"x")).contains("packed by \"lzo\""));
        assert!(error(&zboot("gzip", b"nonsense")).starts_with("cannot unpack the gzip data"));
        let mut outside = zboot("gzip", b"x");
        outside[12..16].copy_from_slice(&9000_u32.to_le_bytes());
        assert!(error(&outside).contains("does not lie in the file"));
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
