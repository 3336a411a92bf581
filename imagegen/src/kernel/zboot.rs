// SPDX-License-Identifier: MIT OR Apache-2.0

//! EFI zboot: an EFI program that contains a packed Image.
//!
//! Source: Linux, `drivers/firmware/efi/libstub/zboot-header.S` and `Makefile.zboot`: "MZ" at 0,
//! "zimg" at 4, the payload's offset at 8 and its size at 12, both little-endian, and the name of
//! the compression method at 24, up to a NUL. The unpacked size, in the four bytes after the
//! payload, is not part of it, except for gzip, whose format ends with that size.

use std::io;

use super::decode::read_all;
use super::error::KernelError;

/// The memory limit of an lzma decoder in KiB.
const LZMA_LIMIT: u32 = 1 << 20;

/// Unpacks the payload of an EFI zboot kernel; returns `None` if the bytes are not such a kernel.
pub(super) fn payload(bytes: &[u8]) -> Result<Option<Vec<u8>>, KernelError> {
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
        b"gzip" => read_all("gzip", flate2::read::GzDecoder::new(payload)),
        b"zstd" | b"zstd22" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(payload)
                .map_err(|error| damaged("zstd", &error))?;
            read_all("zstd", decoder)
        }
        b"xz" | b"xzkern" => read_all("xz", lzma_rust2::XzReader::new(payload, false)),
        b"lzma" => {
            let decoder = lzma_rust2::LzmaReader::new_mem_limit(payload, LZMA_LIMIT, None)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::fixtures::{gzip, image, zboot};
    use super::*;

    fn xz(image: &[u8], filters: &[lzma_rust2::FilterType]) -> Vec<u8> {
        let mut options = lzma_rust2::XzOptions::with_preset(1);
        for filter in filters {
            options.prepend_pre_filter(*filter, 0);
        }
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        xz.write_all(image).unwrap();
        xz.finish().unwrap()
    }

    fn lzma(image: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::LzmaOptions::with_preset(1);
        let mut lzma = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        lzma.write_all(image).unwrap();
        lzma.finish().unwrap()
    }

    fn lz4(image: &[u8]) -> Vec<u8> {
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(image).unwrap();
        lz4.finish().unwrap()
    }

    /// Packs as `lz4 -l` does: the magic number, then blocks of at most 8 MiB of unpacked data,
    /// each after its packed size.
    fn lz4_legacy(image: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x02\x21\x4c\x18".to_vec();
        for block in image.chunks(8 << 20) {
            let packed = lz4_flex::block::compress(block);
            bytes.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            bytes.extend(packed);
        }
        bytes
    }

    #[test]
    fn every_packing_gives_the_same_image() {
        let image = image(100_000);
        let zstd = ruzstd::encoding::compress_to_vec(
            image.as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        // The names and forms that Linux's build uses: zstd22, xzkern with the filter for arm64,
        // lz4's legacy frame.
        for (name, packed) in [
            ("gzip", gzip(&image)),
            ("zstd22", zstd.clone()),
            ("zstd", zstd),
            ("xzkern", xz(&image, &[lzma_rust2::FilterType::BcjArm64])),
            ("xz", xz(&image, &[])),
            ("lzma", lzma(&image)),
            ("lz4", lz4_legacy(&image)),
            ("lz4", lz4(&image)),
        ] {
            assert!(
                payload(&zboot(name, &packed)).unwrap().unwrap() == image,
                "{name}"
            );
        }
    }

    #[test]
    fn damaged_payloads_are_refused() {
        let error = |bytes: &[u8]| payload(bytes).unwrap_err().to_string();
        assert!(error(&zboot("lzo", b"x")).contains("packed by \"lzo\""));
        for (name, method) in [
            ("gzip", "gzip"),
            ("zstd22", "zstd"),
            ("xzkern", "xz"),
            ("lzma", "lzma"),
            ("lz4", "lz4"),
        ] {
            let error = error(&zboot(name, b"nonsense"));
            assert!(
                error.starts_with(&format!("cannot unpack the {method} data: ")),
                "{error}"
            );
        }
        for (field, value) in [
            (8, 9000),
            (12, 9000),
            (12, 0),
            (8, u32::MAX),
            (12, u32::MAX),
        ] {
            let mut outside = zboot("gzip", b"x");
            outside[field..field + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert!(
                error(&outside).contains("is not within the file"),
                "{field} {value}"
            );
        }
        assert!(payload(b"MZ").unwrap().is_none());
        assert!(payload(b"").unwrap().is_none());
    }
}
