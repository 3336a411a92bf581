// SPDX-License-Identifier: MIT OR Apache-2.0

use little_loader_core::kernel::image::{ImageError, ImageHeader};

use super::decode::read_all;
use super::error::KernelError;
use super::zboot;

/// An unpacked kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The raw Image.
    pub image: Vec<u8>,
    /// The fields of its header.
    pub header: ImageHeader,
    /// The formats in which it was packed, outermost first.
    pub packed: Vec<&'static str>,
}

impl Kernel {
    /// Unpacks a kernel.
    ///
    /// # Errors
    ///
    /// When the bytes are not an arm64 kernel in a supported format; the error names their format.
    pub fn unpack(mut bytes: Vec<u8>) -> Result<Self, KernelError> {
        let mut packed = Vec::new();
        // A zboot kernel may itself be packed by gzip; more layers do not occur in practice.
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

    /// Returns the number of bytes that the loader reads from the disk. They are more than the file
    /// has if the header contains only the kernel's size in memory.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        self.header.bytes_to_read().0.max(self.image.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{gzip, image, zboot};
    use super::*;

    #[test]
    fn raw_and_packed_give_the_same_image() {
        let image = image(100_000);
        let zboot = zboot("gzip", &gzip(&image));
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
    fn other_files_are_named() {
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
}
