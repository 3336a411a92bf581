// SPDX-License-Identifier: MIT OR Apache-2.0

//! Local headers (PKWARE APPNOTE 6.3.10, section 4.3.7).

use super::date;
use super::zip::{DEFLATED, ENCRYPTED, IS_64, SIZES_FOLLOW, STORED, TIME, ZIP64};

/// The header of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, for example `data/NAME`.
    pub name: String,
    /// The size of the data in bytes; `None` if only the data descriptor contains it.
    pub size: Option<u64>,
    /// The time of modification, in seconds since 1970.
    pub modified: Option<u32>,
}

/// The fixed part of a local header, after its signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct FixedPart(pub(super) [u8; FixedPart::SIZE]);

impl FixedPart {
    /// The size in bytes.
    pub(super) const SIZE: usize = 26;

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }

    pub(super) fn name_length(&self) -> usize {
        self.u16(22).into()
    }

    pub(super) fn extra_length(&self) -> usize {
        self.u16(24).into()
    }
}

/// A local header, with everything needed to read the data.
#[derive(Clone, Debug)]
pub(super) struct LocalHeader {
    pub(super) header: Header,
    pub(super) is_deflated: bool,
    /// Whether the checksum and sizes follow the data.
    pub(super) sizes_follow: bool,
    /// Whether the sizes after the data have 64 bits.
    pub(super) is_64: bool,
    pub(super) crc: u32,
    /// The size of the compressed data in bytes.
    pub(super) packed: Option<u64>,
}

impl LocalHeader {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// A description of the error.
    pub(super) fn parse(fixed: FixedPart, name: Vec<u8>, extra: &[u8]) -> Result<Self, String> {
        let name =
            String::from_utf8(name).map_err(|_| "the name of the entry is not UTF-8".to_owned())?;
        let fail = |what: &str| Err(format!("entry \"{}\": {what}", name.escape_debug()));
        if name.is_empty() || name.contains('\0') {
            return fail("the name is empty or contains a NUL byte");
        }
        if name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return fail("the name is absolute or contains '..', expected one inside the archive");
        }
        let flags = fixed.u16(2);
        if flags & ENCRYPTED != 0 {
            return fail("encrypted entries are not supported");
        }
        let is_deflated = match fixed.u16(4) {
            STORED => false,
            DEFLATED => true,
            method => {
                return fail(&format!(
                    "compression method {method} is not supported, only stored and deflated"
                ));
            }
        };
        let wide = extra_field(extra, ZIP64);
        let mut numbers = wide.unwrap_or_default();
        let mut full = |size: u32| {
            if size == IS_64 {
                numbers.split_first_chunk::<8>().map(|(first, rest)| {
                    numbers = rest;
                    u64::from_le_bytes(*first)
                })
            } else {
                Some(u64::from(size))
            }
        };
        let (Some(size), Some(packed)) = (full(fixed.u32(18)), full(fixed.u32(14))) else {
            return fail("its sizes are missing");
        };
        // If the sizes follow the data, a size of zero here means "unknown".
        let sizes_follow = flags & SIZES_FOLLOW != 0;
        let known = |size: u64| (!sizes_follow || size != 0).then_some(size);
        let (mut size, mut packed) = (known(size), known(packed));
        if !is_deflated {
            // Stored data has no end mark.
            let stored = size.or(packed).unwrap_or(0);
            if packed.is_some_and(|packed| packed != stored) {
                return fail("a stored entry with two different sizes");
            }
            (size, packed) = (Some(stored), Some(stored));
        }
        let modified = unix_time(extra).or_else(|| date::from_dos(fixed.u16(6), fixed.u16(8)));
        Ok(Self {
            is_deflated,
            sizes_follow,
            is_64: wide.is_some(),
            crc: fixed.u32(10),
            packed,
            header: Header {
                name,
                size,
                modified,
            },
        })
    }
}

/// Returns the time of modification in the extra field, in seconds since 1970.
fn unix_time(extra: &[u8]) -> Option<u32> {
    let (flags, rest) = extra_field(extra, TIME)?.split_first()?;
    let (time, _) = rest.split_first_chunk::<4>()?;
    (flags & 1 != 0).then(|| u32::from_le_bytes(*time))
}

/// Returns the contents of the extra field of type `wanted`.
fn extra_field(mut extra: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let contents = rest.get(..length)?;
        if kind == wanted {
            return Some(contents);
        }
        extra = &rest[length..];
    }
    None
}
