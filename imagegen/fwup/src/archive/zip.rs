// SPDX-License-Identifier: MIT OR Apache-2.0

//! Constants of the ZIP format (PKWARE APPNOTE 6.3.10).

/// The signature of a local header (section 4.3.7).
pub(super) const LOCAL_HEADER: u32 = 0x0403_4b50;
/// The signature of a data descriptor (section 4.3.9). The signature is optional; this program
/// writes it.
pub(super) const DESCRIPTOR: u32 = 0x0807_4b50;
/// The signature of an entry of the central directory (section 4.3.12).
pub(super) const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
/// The signature of the ZIP64 end of the central directory (section 4.3.14).
pub(super) const DIRECTORY_END_64: u32 = 0x0606_4b50;
/// The signature of the ZIP64 end of central directory locator (section 4.3.15).
pub(super) const DIRECTORY_LOCATOR_64: u32 = 0x0706_4b50;
/// The signature of the end of the central directory (section 4.3.16).
pub(super) const DIRECTORY_END: u32 = 0x0605_4b50;

/// The general purpose flag of encrypted entries (section 4.4.4).
pub(super) const ENCRYPTED: u16 = 1;
/// The general purpose flag of entries whose checksum and sizes follow the data.
pub(super) const SIZES_FOLLOW: u16 = 1 << 3;

/// The method of data that is not compressed (section 4.4.5).
pub(super) const STORED: u16 = 0;
/// The method of deflated data.
pub(super) const DEFLATED: u16 = 8;

/// The placeholder for a number that does not fit in 32 bits; the extra field has the 64-bit value.
pub(super) const IS_64: u32 = u32::MAX;
/// The type of the extra field with 64-bit numbers (section 4.5.3).
pub(super) const ZIP64: u16 = 1;
/// The type of the extra field with the time of modification, an extension by Info-ZIP.
pub(super) const TIME: u16 = 0x5455;
