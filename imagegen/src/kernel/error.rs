// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use little_loader_core::kernel::image::ImageError;

/// Why a file is not a kernel that the loader can boot.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file is not an arm64 Image.
    #[error("{0}; give a raw arm64 Image, an Image.gz or an EFI zboot vmlinuz")]
    NoImage(ImageError),
    /// The file is a kernel for a PC.
    #[error("an x86 bzImage; give a kernel for arm64")]
    BzImage,
    /// The kernel is so old that its header does not say how much memory it needs.
    #[error(transparent)]
    NoSize(ImageError),
    /// The Image is shorter than its header says.
    #[error(
        "the Image has {length} bytes, but its header says that the file ends at {expected}: a truncated file?"
    )]
    Truncated {
        /// The length of the file in bytes.
        length: u64,
        /// The length in bytes according to the header.
        expected: u64,
    },
    /// The packed data is damaged.
    #[error("cannot unpack the {method} data: {error}")]
    Damaged {
        /// The compression method.
        method: &'static str,
        /// The decoder's error.
        error: io::Error,
    },
    /// The payload of a zboot kernel is not within the file.
    #[error(
        "EFI zboot header: the payload at {offset:#x} with {size:#x} bytes is not within the file of {length:#x} bytes"
    )]
    Zboot {
        /// The payload's offset in bytes.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// The file's size in bytes.
        length: u64,
    },
    /// The compression method is not supported.
    #[error(
        "EFI zboot payload packed by \"{0}\", which is not supported: rebuild with gzip, zstd, xz, lzma or lz4"
    )]
    ZbootMethod(String),
    /// The unpacked data is too large for a kernel.
    #[error("the {method} data unpacks to more than 1 GiB: not a kernel")]
    TooLarge {
        /// The compression method.
        method: &'static str,
    },
    /// Big-endian kernels cannot be booted.
    #[error("the kernel is big-endian; the loader boots little-endian ones only")]
    BigEndian,
}
