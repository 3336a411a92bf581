// SPDX-License-Identifier: MIT OR Apache-2.0

//! Constants of the flattened format, and functions that its readers and writers share.
//!
//! Source: Devicetree Specification 0.4, chapter 5 (the flattened format).

/// The size in bytes of the header.
pub const HEADER_SIZE: usize = 40;

/// The first word of a DTB.
pub const MAGIC: u32 = 0xd00d_feed;

/// Offsets of header fields (5.2).
pub(super) const TOTALSIZE: usize = 4;
pub(super) const OFF_DT_STRUCT: usize = 8;
pub(super) const OFF_DT_STRINGS: usize = 12;
pub(super) const OFF_MEM_RSVMAP: usize = 16;
pub(super) const VERSION: usize = 20;
pub(super) const LAST_COMP_VERSION: usize = 24;
pub(super) const SIZE_DT_STRINGS: usize = 32;
pub(super) const SIZE_DT_STRUCT: usize = 36;

/// The size in bytes of an entry of the memory reservation block: address and size (5.3).
pub(super) const RESERVATION: usize = 16;

/// The tokens of the structure block (5.4.1).
pub(super) const BEGIN_NODE: u32 = 1;
pub(super) const END_NODE: u32 = 2;
pub(super) const PROP: u32 = 3;
pub(super) const NOP: u32 = 4;
pub(super) const END: u32 = 9;

/// The number of bytes before a property's value: the token, the length of the value, and the
/// offset of the name in the strings block.
pub(super) const PROPERTY_HEADER: usize = 12;

/// The maximum length of a property's name in bytes (2.2.4.1).
pub(super) const MAX_PROPERTY_NAME: usize = 31;

/// Returns the big-endian 32-bit word at an offset, or 0 past the end.
#[inline(never)]
pub(super) fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Writes a big-endian 32-bit word, which must be within the DTB.
pub(super) fn put_word(dtb: &mut [u8], offset: usize, value: u32) {
    dtb[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
}

/// Decodes a big-endian number of any size up to 8 bytes, or the last 8 bytes of a longer one.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Returns the bytes before the first NUL, or all of them if there is none.
#[inline(never)]
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = &bytes[..end.unwrap_or(bytes.len())];
    #[cfg(test)]
    super::work::add(text.len());
    text
}

/// Returns the length of a name or value with its padding: tokens are aligned to 4 bytes.
pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}
