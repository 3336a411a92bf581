// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens the end of a deflate stream, so that another stream can follow it.
//!
//! A stream ends with a block that is marked as the last one. Its header is found by reading the
//! lengths of all codes up to it, without the data: faster than inflating, and in no memory but
//! the tables of codes.
//!
//! Source: RFC 1951, section 3.2.

/// The maximum length of a code in bits.
const LONGEST: usize = 15;
/// The order of the lengths of the codes for lengths.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
/// A stored block without data, which is not the last block, from its length on.
const EMPTY: [u8; 4] = [0, 0, 0xff, 0xff];

/// The maximum number of bytes that [`open`] adds to a stream.
pub(super) const MOST_ADDED: usize = 1 + EMPTY.len();

/// Makes the last block of a stream an ordinary one, and pads the stream to a whole number of bytes
/// with an empty block. The stream is the first `length` bytes of `buffer`, which has room for
/// [`MOST_ADDED`] more. Returns the new length, or `None` if it is not a whole deflate stream.
pub(super) fn open(buffer: &mut [u8], length: usize) -> Option<usize> {
    let (last, end) = last_block(buffer.get(..length)?)?;
    *buffer.get_mut(last / 8)? &= !(1 << (last % 8));
    // The unused bits of the last byte are zero, as is the header of the empty block.
    let start = (end + 3).div_ceil(8);
    buffer.get_mut(length..start.max(length))?.fill(0);
    buffer
        .get_mut(start..start + EMPTY.len())?
        .copy_from_slice(&EMPTY);
    Some(start + EMPTY.len())
}

/// Returns the offsets of the last block's header and of the stream's end, in bits.
fn last_block(stream: &[u8]) -> Option<(usize, usize)> {
    let mut bits = Bits::new(stream);
    let (mut codes, mut distances) = (Table::default(), Table::default());
    loop {
        let start = bits.position();
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => bits.skip_stored()?,
            1 => {
                let lengths = |symbol| match symbol {
                    144..=255 => 9,
                    256..=279 => 7,
                    _ => 8,
                };
                codes.build(&std::array::from_fn::<u8, 288, _>(lengths), literal)?;
                distances.build(&[5; 30], distance)?;
                bits.skip_codes(&codes, &distances)?;
            }
            2 => {
                bits.read_tables(&mut codes, &mut distances)?;
                bits.skip_codes(&codes, &distances)?;
            }
            _ => return None,
        }
        if is_last {
            return Some((start, bits.position()));
        }
    }
}

/// What follows a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// No code has these bits.
    #[default]
    Invalid,
    Code,
    Distance,
    End,
}

/// The length of a code with its extra bits, and what follows it.
#[derive(Clone, Copy, Debug, Default)]
struct Code {
    bits: u8,
    next: Next,
    symbol: u16,
}

/// Returns the number of extra bits after the code of a literal or a length, and what follows.
fn literal(symbol: u16) -> (u8, Next) {
    match symbol {
        0..=255 => (0, Next::Code),
        256 => (0, Next::End),
        // At most 5.
        265..=284 => (((symbol - 261) / 4) as u8, Next::Distance),
        _ => (0, Next::Distance),
    }
}

fn distance(symbol: u16) -> (u8, Next) {
    // At most 13.
    ((symbol / 2).saturating_sub(1) as u8, Next::Code)
}

/// All codes of one kind, by the bits that start with them.
#[derive(Debug, Default)]
struct Table {
    codes: Vec<Code>,
}

impl Table {
    /// Builds the table of the canonical codes with these lengths in bits.
    fn build(&mut self, lengths: &[u8], after: impl Fn(u16) -> (u8, Next)) -> Option<()> {
        let longest = usize::from(lengths.iter().copied().max()?);
        self.codes.clear();
        self.codes.resize(1 << longest, Code::default());
        let mut next = 0_usize;
        for length in 1..=longest {
            next <<= 1;
            for (symbol, _) in lengths
                .iter()
                .enumerate()
                .filter(|(_, found)| usize::from(**found) == length)
            {
                if next >= 1 << length {
                    return None;
                }
                // Codes start with their most significant bit.
                let first = next.reverse_bits() >> (usize::BITS as usize - length);
                let symbol = symbol as u16;
                let (extra, what) = after(symbol);
                let code = Code {
                    bits: length as u8 + extra,
                    next: what,
                    symbol,
                };
                let places = self.codes.iter_mut().skip(first).step_by(1 << length);
                places.for_each(|place| *place = code);
                next += 1;
            }
        }
        Some(())
    }
}

/// The unread part of a stream.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to load.
    at: usize,
    loaded: u64,
    /// The number of bits in `loaded`.
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            loaded: 0,
            count: 0,
        }
    }

    fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// Loads at least 56 bits, or all that are left.
    fn load(&mut self) {
        if let Some(bytes) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            // Bits past `count` are loaded again later, with the same values.
            self.loaded |= u64::from_le_bytes(*bytes) << self.count;
            self.at += ((63 - self.count) / 8) as usize;
            self.count |= 56;
            return;
        }
        while self.count <= 56 {
            let Some(byte) = self.bytes.get(self.at) else {
                return;
            };
            self.loaded |= u64::from(*byte) << self.count;
            self.at += 1;
            self.count += 8;
        }
    }

    fn drop(&mut self, bits: u32) -> Option<()> {
        self.count = self.count.checked_sub(bits)?;
        self.loaded >>= bits;
        Some(())
    }

    /// Returns the next `bits` bits, at most 16.
    fn take(&mut self, bits: u32) -> Option<usize> {
        if self.count < bits {
            self.load();
        }
        let value = self.loaded & ((1 << bits) - 1);
        self.drop(bits)?;
        Some(value as usize)
    }

    /// Returns the next code; its bits and extra bits are at most 28.
    fn code(&mut self, table: &Table) -> Option<Code> {
        let mask = table.codes.len().checked_sub(1)?;
        let code = *table.codes.get(self.loaded as usize & mask)?;
        self.drop(u32::from(code.bits))?;
        Some(code)
    }

    fn skip_stored(&mut self) -> Option<()> {
        self.drop(self.count % 8)?;
        let length = self.take(16)?;
        if self.take(16)? != !length & 0xffff {
            return None;
        }
        self.at = self.position() / 8 + length;
        (self.loaded, self.count) = (0, 0);
        (self.at <= self.bytes.len()).then_some(())
    }

    /// Reads the codes at the start of a block.
    fn read_tables(&mut self, codes: &mut Table, distances: &mut Table) -> Option<()> {
        let (literal_count, distance_count) = (self.take(5)? + 257, self.take(5)? + 1);
        let count = self.take(4)? + 4;
        let mut lengths = [0; 19];
        for place in &ORDER[..count] {
            lengths[*place] = self.take(3)? as u8;
        }
        let mut table = Table::default();
        table.build(&lengths, |_| (0, Next::Code))?;
        let mut lengths = Vec::new();
        while lengths.len() < literal_count + distance_count {
            self.load();
            let code = self.code(&table)?;
            if code.next == Next::Invalid {
                return None;
            }
            let (length, repeat) = match code.symbol {
                16 => (*lengths.last()?, self.take(2)? + 3),
                17 => (0, self.take(3)? + 3),
                18 => (0, self.take(7)? + 11),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(length, repeat));
        }
        if lengths.len() != literal_count + distance_count
            || lengths.iter().any(|length| usize::from(*length) > LONGEST)
        {
            return None;
        }
        let (of_literals, of_distances) = lengths.split_at(literal_count);
        codes.build(of_literals, literal)?;
        distances.build(of_distances, distance)
    }

    /// Skips the codes of a block, up to its end.
    fn skip_codes(&mut self, codes: &Table, distances: &Table) -> Option<()> {
        loop {
            // A length with its distance has at most 48 bits.
            if self.count < 48 {
                self.load();
            }
            match self.code(codes)?.next {
                Next::Code => {}
                Next::Distance => {
                    if self.code(distances)?.next == Next::Invalid {
                        return None;
                    }
                }
                Next::End => return Some(()),
                Next::Invalid => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use libdeflater::{CompressionLvl, Compressor};
    use proptest::prelude::*;

    use super::*;

    fn packed(data: &[u8], level: i32) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut out = vec![0; compressor.deflate_compress_bound(data.len())];
        let length = compressor.deflate_compress(data, &mut out).unwrap();
        out.truncate(length);
        out
    }

    fn opened(mut stream: Vec<u8>) -> Vec<u8> {
        let length = stream.len();
        // The bytes after the stream may be anything.
        stream.extend([0xa5; MOST_ADDED]);
        let length = open(&mut stream, length).unwrap();
        stream.truncate(length);
        stream
    }

    fn unpacked(stream: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        DeflateDecoder::new(stream).read_to_end(&mut data).unwrap();
        data
    }

    /// Text, noise and runs, of different lengths.
    fn mixed(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|at| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                match (at >> 13) % 4 {
                    0 => b"the same words again, "[at % 22],
                    1 => state as u8,
                    2 => 0,
                    _ => b"abcdefgh"[(state % 8) as usize],
                }
            })
            .collect()
    }

    #[test]
    fn streams_that_are_opened_can_be_joined() {
        for level in [0, 1, 2, 6, 9, 12] {
            let parts = [
                mixed(1, 300_000),
                Vec::new(),
                b"x".to_vec(),
                vec![7; 100_000],
                mixed(9, 70_001),
            ];
            let mut joined = Vec::new();
            for part in &parts {
                joined.extend(opened(packed(part, level)));
            }
            joined.extend(packed(b"end", level));
            assert!(
                unpacked(&joined) == [parts.concat(), b"end".to_vec()].concat(),
                "{level}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_data_can_be_joined(
            first in proptest::collection::vec(any::<u8>(), 0..3000),
            seed in any::<u32>(),
            length in 0_usize..60_000,
            level in 0..10,
        ) {
            let second = mixed(seed, length);
            let mut joined = opened(packed(&first, level));
            joined.extend(opened(packed(&second, level)));
            joined.extend(packed(&first, level));
            prop_assert_eq!(unpacked(&joined), [&first[..], &second, &first].concat());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            let length = bytes.len();
            let _ = open(&mut bytes, length);
        }
    }
}
