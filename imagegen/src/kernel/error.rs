// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use little_loader_core::kernel::image::ImageError;

/// Why a file is not a kernel that the loader boots.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file is something else.
    #[error("{0}; give a raw arm64 Image, an Image.gz or an EFI zboot vmlinuz")]
    NoImage(ImageError),
    /// The file is a kernel for a PC.
    #[error("an x86 bzImage; give a kernel for arm64")]
    BzImage,
    /// The kernel is so old that its header does not have the memory it needs.
    #[error(transparent)]
    NoSize(ImageError),
    /// It is longer or shorter than its header says.
    #[error(
        "the Image has {length} bytes, and its header says that the file ends at {expected}: a truncated file?"
    )]
    Truncated {
        /// The length of the file in bytes.
        length: u64,
        /// The length by the header, in bytes.
        expected: u64,
    },
    /// The packed data is damaged.
    #[error("cannot unpack the {method} data: {error}")]
    Damaged {
        /// The compression.
        method: &'static str,
        /// The decoder's error.
        error: io::Error,
    },
    /// The payload of a zboot kernel is not within the file.
    #[error(
        "EFI zboot header: the payload at {offset:#x} with {size:#x} bytes does not lie in the file of {length:#x} bytes"
    )]
    Zboot {
        /// The payload's offset in bytes.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// The file's size in bytes.
        length: u64,
    },
    /// The compression is not supported.
    #[error(
        "EFI zboot payload packed by \"{0}\", which is not supported: rebuild with gzip, zstd, xz, lzma or lz4"
    )]
    ZbootMethod(String),
    /// It is larger than any kernel.
    #[error("the {method} data unpacks to more than 1 GiB: not a kernel")]
    TooLarge {
        /// The compression.
        method: &'static str,
    },
    /// Big-endian kernels cannot be booted.
    #[error("the kernel is big-endian; the loader boots little-endian ones only")]
    BigEndian,
}
