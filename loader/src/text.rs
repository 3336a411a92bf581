// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bytes of unknown origin, shown safely on a console.

use core::fmt;

/// Shows bytes as text: what is not printable ASCII is escaped, and what is long is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a>(pub &'a [u8]);

impl Shown<'_> {
    /// How many bytes are shown before the rest is cut.
    pub const LIMIT: usize = 40;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at(self.0.len().min(Self::LIMIT));
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if rest.is_empty() {
            Ok(())
        } else {
            write!(f, "... ({} bytes)", self.0.len())
        }
    }
}

/// Reads a number as the environment writes it: decimal digits only, no sign, no spaces. `None` for anything else,
/// an empty text and what does not fit 64 bits included.
#[must_use]
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn odd_bytes_are_escaped_and_long_ones_cut() {
        assert_eq!(
            Shown(b"ban\"ana\n\xff").to_string(),
            "\"ban\\\"ana\\n\\xff\""
        );
        let long = [b'x'; 100];
        assert!(Shown(&long).to_string().ends_with("... (100 bytes)"));
    }

    #[test]
    fn only_plain_decimal_numbers_are_numbers() {
        assert_eq!(decimal(b"2048"), Some(2048));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for text in [
            &b""[..],
            b"0x10",
            b"-1",
            b"+1",
            b" 1",
            b"1 ",
            b"18446744073709551616",
            b"1e3",
        ] {
            assert_eq!(decimal(text), None, "{}", Shown(text));
        }
    }
}
