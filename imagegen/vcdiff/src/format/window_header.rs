// SPDX-License-Identifier: MIT OR Apache-2.0

//! The header of a window (RFC 3284, sections 4.2 and 4.3).

use super::bytes::{Bytes, LONGEST_INTEGER, ReadFault, integer_length, push_integer};

const SOURCE: u8 = 1 << 0;
const TARGET: u8 = 1 << 1;
/// xdelta3's extension: the Adler-32 checksum of the target window follows the lengths.
const ADLER32: u8 = 1 << 2;

/// The most bytes of a header: the indicators, seven integers, and the checksum.
pub(crate) const LONGEST_HEADER: usize = 2 + 7 * LONGEST_INTEGER + 4;

/// Why a window's header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowFault {
    /// Bits of the indicator that neither RFC 3284 nor xdelta3 defines.
    #[error("has the indicator {0:#04x}, of which only the bits 0x05 are supported")]
    Indicator(u8),
    /// A segment of the target in place of the source.
    #[error(
        "copies from an earlier part of the target (VCD_TARGET), which is not supported; \
         make the delta with xdelta3"
    )]
    TargetSegment,
    /// The source segment.
    #[error("has a source segment of {length} bytes at offset {offset}, which exceeds 64 bits")]
    Segment {
        /// The offset in the source in bytes.
        offset: u64,
        /// The length in bytes.
        length: u64,
    },
    /// The length of the window.
    #[error(
        "makes {found} bytes of the target, the limit is {limit}; make the delta with a smaller -W"
    )]
    TooLarge {
        /// The declared length in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The lengths of the sections.
    #[error(
        "has sections of {found} bytes, which is more than {target} bytes of the target can need"
    )]
    Sections {
        /// The declared length of all sections in bytes.
        found: u64,
        /// The declared length of the target window in bytes.
        target: u64,
    },
    /// The length of the encoding, which the other lengths determine.
    #[error("declares an encoding of {found} bytes, but its parts have {expected}")]
    EncodingLength {
        /// The declared length in bytes.
        found: u64,
        /// The length of the parts in bytes.
        expected: u64,
    },
    /// Compressed sections without a compressor.
    #[error(
        "has the delta indicator {0:#04x}, expected 0: the delta names no secondary compressor"
    )]
    DeltaIndicator(u8),
    /// An integer.
    #[error("has an integer that exceeds 64 bits")]
    Integer,
    /// The lengths of all windows.
    #[error("makes the target longer than 64 bits can count")]
    TargetLength,
}

/// The part of the source that a window copies from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The offset in the source in bytes.
    pub offset: u64,
    /// The length in bytes.
    pub length: u64,
}

/// A window's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowHeader {
    /// The part of the source, of length 0 when the window copies from none.
    pub segment: Segment,
    /// The bytes of the target that the window makes.
    pub target_length: u64,
    /// The Adler-32 checksum of these bytes.
    pub checksum: Option<u32>,
    /// The lengths in bytes of the sections: data, instructions and sizes, addresses.
    pub(crate) sections: [u64; 3],
}

impl WindowHeader {
    /// The bytes of the delta that follow the header.
    pub(crate) fn sections_length(&self) -> u64 {
        self.sections.iter().sum()
    }

    /// Appends the header.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        let source = if self.segment.length == 0 { 0 } else { SOURCE };
        out.push(source | self.checksum.map_or(0, |_| ADLER32));
        if source != 0 {
            push_integer(out, self.segment.length);
            push_integer(out, self.segment.offset);
        }
        push_integer(out, self.encoding_length());
        push_integer(out, self.target_length);
        out.push(0);
        self.sections
            .iter()
            .for_each(|length| push_integer(out, *length));
        if let Some(checksum) = self.checksum {
            out.extend_from_slice(&checksum.to_be_bytes());
        }
    }

    /// The length of the encoding: everything after the field that holds it.
    fn encoding_length(&self) -> u64 {
        let lengths = self.sections.iter().map(|length| integer_length(*length));
        let lengths = integer_length(self.target_length) + 1 + lengths.sum::<usize>();
        let checksum = self.checksum.map_or(0, |_| size_of::<u32>());
        (lengths + checksum) as u64 + self.sections_length()
    }
}

/// Reads a header. `None` when bytes are missing.
pub(crate) fn parse(bytes: &[u8], longest: u64) -> Result<Option<WindowHeader>, WindowFault> {
    match read_header(&mut Bytes::new(bytes), longest) {
        Ok(header) => Ok(Some(header)),
        Err(ParseFault::Read(ReadFault::Truncated)) => Ok(None),
        Err(ParseFault::Read(ReadFault::TooLarge)) => Err(WindowFault::Integer),
        Err(ParseFault::Window(fault)) => Err(fault),
    }
}

enum ParseFault {
    Read(ReadFault),
    Window(WindowFault),
}

impl From<ReadFault> for ParseFault {
    fn from(fault: ReadFault) -> Self {
        Self::Read(fault)
    }
}

impl From<WindowFault> for ParseFault {
    fn from(fault: WindowFault) -> Self {
        Self::Window(fault)
    }
}

fn read_header(bytes: &mut Bytes<'_>, longest: u64) -> Result<WindowHeader, ParseFault> {
    let indicator = bytes.byte()?;
    if indicator & !(SOURCE | TARGET | ADLER32) != 0 {
        return Err(WindowFault::Indicator(indicator).into());
    }
    if indicator & TARGET != 0 {
        return Err(WindowFault::TargetSegment.into());
    }
    let mut segment = Segment::default();
    if indicator & SOURCE != 0 {
        segment.length = bytes.integer()?;
        segment.offset = bytes.integer()?;
        let Segment { offset, length } = segment;
        if offset.checked_add(length).is_none() {
            return Err(WindowFault::Segment { offset, length }.into());
        }
    }
    let encoding_length = bytes.integer()?;
    let target_length = bytes.integer()?;
    if target_length > longest {
        let (found, limit) = (target_length, longest);
        return Err(WindowFault::TooLarge { found, limit }.into());
    }
    // The addresses of copies count both.
    if segment.length.checked_add(target_length).is_none() {
        let Segment { offset, length } = segment;
        return Err(WindowFault::Segment { offset, length }.into());
    }
    let delta_indicator = bytes.byte()?;
    if delta_indicator != 0 {
        return Err(WindowFault::DeltaIndicator(delta_indicator).into());
    }
    let sections = [bytes.integer()?, bytes.integer()?, bytes.integer()?];
    let found = sections
        .iter()
        .fold(0, |sum: u64, length| sum.saturating_add(*length));
    // No encoder needs more: a byte of data makes a byte of the target, and a copy of 4 bytes takes
    // a code and an address of up to 5 bytes.
    if found > target_length.saturating_mul(2).saturating_add(64) {
        let target = target_length;
        return Err(WindowFault::Sections { found, target }.into());
    }
    let mut header = WindowHeader {
        segment,
        target_length,
        checksum: None,
        sections,
    };
    if indicator & ADLER32 != 0 {
        header.checksum = Some(u32::from_be_bytes(bytes.array()?));
    }
    let expected = header.encoding_length();
    if encoding_length != expected {
        let found = encoding_length;
        return Err(WindowFault::EncodingLength { found, expected }.into());
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = WindowHeader> {
        let segment = (0_u64..1 << 40, 0_u64..1 << 40);
        let sections = prop::array::uniform3(0_u64..1 << 24);
        (segment, sections, any::<Option<u32>>()).prop_map(|(segment, sections, checksum)| {
            let (offset, length) = segment;
            WindowHeader {
                segment: Segment {
                    offset: if length == 0 { 0 } else { offset },
                    length,
                },
                target_length: 1 << 25,
                checksum,
                sections,
            }
        })
    }

    proptest! {
        #[test]
        fn headers_read_back(header in header()) {
            let mut bytes = Vec::new();
            header.push(&mut bytes);
            prop_assert!(bytes.len() <= LONGEST_HEADER);
            prop_assert_eq!(parse(&bytes, 1 << 25), Ok(Some(header)));
            for length in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..length], 1 << 25), Ok(None));
            }
        }

        #[test]
        fn no_header_causes_a_panic(bytes: [u8; 32]) {
            let _ = parse(&bytes, 1 << 25);
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (bytes, expected) in [
            (&[8][..], WindowFault::Indicator(8)),
            (&[2], WindowFault::TargetSegment),
            (
                &[0, 9, 0x81, 0x01],
                WindowFault::TooLarge {
                    found: 129,
                    limit: 128,
                },
            ),
            (&[0, 9, 8, 1], WindowFault::DeltaIndicator(1)),
            (
                &[0, 9, 8, 0, 40, 40, 1],
                WindowFault::Sections {
                    found: 81,
                    target: 8,
                },
            ),
        ] {
            let found = parse(bytes, 128).map(|header| header.map(|header| header.target_length));
            assert_eq!(found, Err(expected), "{bytes:?}");
        }
        assert!(matches!(parse(&[0, 9, 8, 0, 1, 2, 1], 128), Ok(Some(_))));
        let found = parse(&[0, 8, 8, 0, 1, 2, 1], 128);
        assert_eq!(
            found,
            Err(WindowFault::EncodingLength {
                found: 8,
                expected: 9
            })
        );
        let largest = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let segment = [&[1][..], &largest, &[1]].concat();
        let fault = WindowFault::Segment {
            offset: 1,
            length: u64::MAX,
        };
        assert_eq!(parse(&segment, 128), Err(fault));
    }
}
