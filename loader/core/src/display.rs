// SPDX-License-Identifier: MIT OR Apache-2.0

//! Formatting for a console. Bytes of unknown origin are escaped; numbers and words are written
//! without the standard library's support for padding and signs, which is most of its code.

use core::fmt::{self, Write as _};

/// A number in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub u64);

/// The number of digits of the largest [`Decimal`].
pub const MAX_DIGITS: usize = 20;

impl Decimal {
    /// Writes the digits to the end of a buffer, and returns them. For text that is not printed.
    pub fn write(self, buffer: &mut [u8; MAX_DIGITS]) -> &[u8] {
        let (mut rest, mut start) = (self.0, MAX_DIGITS);
        loop {
            start -= 1;
            buffer[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return &buffer[start..];
            }
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(f, self.0, 10, 1)
    }
}

/// A number in hexadecimal with the prefix `0x`, and its minimum number of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub u64, pub u32);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        bare_hex(f, self.0, self.1)
    }
}

/// Writes a number in hexadecimal without a prefix, with at least `least` digits.
///
/// # Errors
///
/// When the formatter's output fails.
pub fn bare_hex(f: &mut fmt::Formatter<'_>, number: u64, least: u32) -> fmt::Result {
    digits(f, number, 16, least)
}

fn digits(f: &mut fmt::Formatter<'_>, number: u64, base: u64, least: u32) -> fmt::Result {
    let (mut unit, mut count) = (1, 1);
    while count < least || number / unit >= base {
        unit *= base;
        count += 1;
    }
    loop {
        let digit = (number / unit % base) as u8;
        let letter = if digit < 10 { b'0' } else { b'a' - 10 };
        f.write_char((letter + digit).into())?;
        if unit == 1 {
            return Ok(());
        }
        unit /= base;
    }
}

/// A word in a message, written without support for padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a>(pub &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Bytes shown as quoted text: all except printable ASCII are escaped, and long texts are
/// truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    start: [u8; Self::LIMIT],
    length: usize,
}

impl Shown {
    /// The maximum number of bytes shown.
    pub const LIMIT: usize = 40;

    /// Copies the bytes to show, and keeps their total number.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut start = [0; Self::LIMIT];
        for (kept, byte) in start.iter_mut().zip(bytes) {
            *kept = *byte;
        }
        Self {
            start,
            length: bytes.len(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.start[..self.length.min(Self::LIMIT)];
        f.write_char('"')?;
        for byte in shown {
            match byte {
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\t' => f.write_str("\\t")?,
                b'"' => f.write_str("\\\"")?,
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char((*byte).into())?,
                other => {
                    f.write_str("\\x")?;
                    bare_hex(f, u64::from(*other), 2)?;
                }
            }
        }
        f.write_char('"')?;
        if self.length > Self::LIMIT {
            write!(f, "... ({} bytes)", Decimal(self.length as u64))?;
        }
        Ok(())
    }
}

/// Parses a number in the environment's format: decimal digits only, no sign, no spaces. Returns
/// `None` for anything else, including empty text and numbers beyond 64 bits.
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
            Shown::new(b"ban\"ana\n\xff").to_string(),
            "\"ban\\\"ana\\n\\xff\""
        );
        let long = [b'x'; 100];
        assert!(Shown::new(&long).to_string().ends_with("... (100 bytes)"));
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 7, 9, 10, 255, 4096, u64::MAX / 10, u64::MAX] {
            assert_eq!(Decimal(number).to_string(), std::format!("{number}"));
            let mut digits = [0; MAX_DIGITS];
            let digits = Decimal(number).write(&mut digits);
            assert_eq!(digits, std::format!("{number}").as_bytes());
            assert_eq!(Hex(number, 1).to_string(), std::format!("{number:#x}"));
            assert_eq!(Hex(number, 8).to_string(), std::format!("{number:#010x}"));
        }
        assert_eq!(Word("block").to_string(), "block");
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
            assert_eq!(decimal(text), None, "{}", Shown::new(text));
        }
    }
}
