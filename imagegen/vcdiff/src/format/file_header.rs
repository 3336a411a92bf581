// SPDX-License-Identifier: MIT OR Apache-2.0

//! The header of a delta (RFC 3284, section 4.1).

use super::bytes::{Bytes, ReadFault};

/// `VCD` with the top bits set, and version 0.
pub(crate) const MAGIC: [u8; 4] = [0xd6, 0xc3, 0xc4, 0];
/// A secondary compressor's number follows.
const SECONDARY: u8 = 1 << 0;
/// A code table follows.
const CODE_TABLE: u8 = 1 << 1;
/// xdelta3's extension: an application header follows, in which it keeps the files' names.
const APPLICATION: u8 = 1 << 2;

/// Why a delta's header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The magic number.
    #[error("starts with {0:02x?}, expected d6 c3 c4: this is not a VCDIFF delta")]
    Magic([u8; 3]),
    /// The version.
    #[error("has version {0:#04x}, expected 0; make the delta with xdelta3, or in its format")]
    Version(u8),
    /// Bits of the indicator that neither RFC 3284 nor xdelta3 defines.
    #[error("has the indicator {0:#04x}, of which only the bits 0x07 are known")]
    Indicator(u8),
    /// A compressor of the sections.
    #[error(
        "uses the secondary compressor {0}, which is not supported; \
         make the delta with `xdelta3 -e -S none`"
    )]
    SecondaryCompressor(SecondaryCompressor),
    /// A code table of its own.
    #[error("has a custom code table, which is not supported; make the delta with xdelta3")]
    CustomCodeTable,
    /// The length of the application header.
    #[error("declares an application header of {found} bytes, the limit is {limit}")]
    ApplicationHeader {
        /// The declared length in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An integer.
    #[error("has an integer that exceeds 64 bits")]
    Integer,
}

/// A compressor of the sections, by the number that xdelta3 gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondaryCompressor(pub u8);

impl std::fmt::Display for SecondaryCompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("DJW (number 1)"),
            2 => f.write_str("LZMA (number 2)"),
            16 => f.write_str("FGK (number 16)"),
            number => write!(f, "number {number}"),
        }
    }
}

/// What a delta's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The length in bytes of the application header that follows, if there is one.
    pub(crate) application: Option<u64>,
}

/// Reads a header up to the application header. `None` when bytes are missing.
pub(crate) fn parse(bytes: &[u8], longest: u64) -> Result<Option<FileHeader>, HeaderFault> {
    // What is there is judged at once, so that an empty or short file is called what it is.
    if !bytes
        .iter()
        .zip(&MAGIC[..3])
        .all(|(found, expected)| found == expected)
    {
        let mut found = [0; 3];
        found
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        return Err(HeaderFault::Magic(found));
    }
    let mut bytes = Bytes::new(bytes);
    let parsed = bytes.take(3).and_then(|_| bytes.byte());
    let Ok(version) = parsed else {
        return Ok(None);
    };
    if version != MAGIC[3] {
        return Err(HeaderFault::Version(version));
    }
    let Ok(indicator) = bytes.byte() else {
        return Ok(None);
    };
    if indicator & !(SECONDARY | CODE_TABLE | APPLICATION) != 0 {
        return Err(HeaderFault::Indicator(indicator));
    }
    if indicator & SECONDARY != 0 {
        let Ok(number) = bytes.byte() else {
            return Ok(None);
        };
        let compressor = SecondaryCompressor(number);
        return Err(HeaderFault::SecondaryCompressor(compressor));
    }
    if indicator & CODE_TABLE != 0 {
        return Err(HeaderFault::CustomCodeTable);
    }
    if indicator & APPLICATION == 0 {
        return Ok(Some(FileHeader { application: None }));
    }
    match bytes.integer() {
        Ok(length) if length > longest => Err(HeaderFault::ApplicationHeader {
            found: length,
            limit: longest,
        }),
        Ok(length) => Ok(Some(FileHeader {
            application: Some(length),
        })),
        Err(ReadFault::Truncated) => Ok(None),
        Err(ReadFault::TooLarge) => Err(HeaderFault::Integer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_judged() {
        let application = |application| Ok(Some(FileHeader { application }));
        let magic = [0xd6, 0xc3, 0xc4];
        for (rest, expected) in [
            (&[][..], Ok(None)),
            (&[0], Ok(None)),
            (&[0, 0], application(None)),
            (&[0, 4], Ok(None)),
            (&[0, 4, 0x80], Ok(None)),
            (&[0, 4, 0x81, 0x00], application(Some(128))),
            (
                &[0, 4, 0x88, 0x01],
                Err(HeaderFault::ApplicationHeader {
                    found: 1025,
                    limit: 1024,
                }),
            ),
            (&[0, 2], Err(HeaderFault::CustomCodeTable)),
            (&[0, 8], Err(HeaderFault::Indicator(8))),
            (b"S", Err(HeaderFault::Version(b'S'))),
        ] {
            assert_eq!(parse(&[&magic, rest].concat(), 1024), expected, "{rest:?}");
        }
        assert_eq!(parse(b"", 0), Ok(None));
        assert_eq!(parse(b"P", 0), Err(HeaderFault::Magic([b'P', 0, 0])));
        let lzma = parse(&[0xd6, 0xc3, 0xc4, 0, 5, 2], 0).unwrap_err();
        assert!(
            lzma.to_string().contains("compressor LZMA (number 2)"),
            "{lzma}"
        );
    }
}
