// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads and writes bytes and integers (RFC 3284, section 2).

/// The most bytes of an integer of 64 bits, at 7 bits a byte.
pub(crate) const LONGEST_INTEGER: usize = 10;

/// Why a value was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    /// The bytes end within it.
    Truncated,
    /// The integer does not fit in 64 bits.
    TooLarge,
}

/// Bytes that are read from front to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, ReadFault> {
        let (&first, rest) = self.rest.split_first().ok_or(ReadFault::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ReadFault> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ReadFault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadFault> {
        let (&taken, rest) = self.rest.split_first_chunk().ok_or(ReadFault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An integer: base 128, most significant digit first, the top bit set in all but the last.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<u64, ReadFault> {
        let mut value: u64 = 0;
        loop {
            let byte = self.byte()?;
            if value >> (u64::BITS - 7) != 0 {
                return Err(ReadFault::TooLarge);
            }
            value = value << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }
}

/// Appends an integer.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: u64) {
    for digit in (0..integer_length(value)).rev() {
        let more = if digit == 0 { 0 } else { 0x80 };
        out.push((value >> (7 * digit)) as u8 & 0x7f | more);
    }
}

/// The bytes that an integer takes.
pub(crate) fn integer_length(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_those_of_the_rfc() {
        // The example of section 2.
        let mut out = Vec::new();
        push_integer(&mut out, 123_456_789);
        assert_eq!(out, [0xba, 0xef, 0x9a, 0x15]);
        assert_eq!(Bytes::new(&out).integer(), Ok(123_456_789));
    }

    #[test]
    fn integers_beyond_64_bits_are_refused() {
        let mut largest = Vec::new();
        push_integer(&mut largest, u64::MAX);
        assert_eq!(largest.len(), LONGEST_INTEGER);
        assert_eq!(Bytes::new(&largest).integer(), Ok(u64::MAX));
        largest[0] += 1;
        assert_eq!(Bytes::new(&largest).integer(), Err(ReadFault::TooLarge));
        assert_eq!(Bytes::new(&[0x80; 9]).integer(), Err(ReadFault::Truncated));
    }

    proptest! {
        #[test]
        fn integers_read_back(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            push_integer(&mut out, value);
            prop_assert_eq!(out.len(), integer_length(value));
            let mut bytes = Bytes::new(&out);
            prop_assert_eq!(bytes.integer(), Ok(value));
            prop_assert!(bytes.is_empty());
        }
    }
}
