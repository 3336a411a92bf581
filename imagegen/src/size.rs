// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sizes in the notation of the command line: `64M`, `1G`, `131072`.

use std::fmt;
use std::str::FromStr;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// The size in blocks of 512 bytes, rounded up.
    #[must_use]
    pub fn blocks(self) -> u64 {
        self.0.div_ceil(512)
    }
}

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a size; write bytes, or a whole number with K, M or G (powers of 1024)")]
pub struct SizeError(String);

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError(text.to_owned());
        let (number, shift) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 10),
            Some((at, 'm' | 'M')) => (&text[..at], 20),
            Some((at, 'g' | 'G')) => (&text[..at], 30),
            _ => (text, 0),
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(error)
    }
}

/// Uses the largest unit that is at most the size, with one decimal, rounded down, unless the
/// number is whole.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            let one = 1_u64 << shift;
            if self.0 >= one {
                return if self.0.is_multiple_of(one) {
                    write!(f, "{} {unit}", self.0 / one)
                } else {
                    write!(f, "{}.{} {unit}", self.0 / one, self.0 % one * 10 / one)
                };
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("64M", 64 << 20, "64 MiB"),
            ("1g", 1 << 30, "1 GiB"),
            ("131072", 131_072, "128 KiB"),
            ("1500K", 1500 << 10, "1.4 MiB"),
            ("7", 7, "7 bytes"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "M",
            "-1",
            "1T",
            "1.5M",
            "0x10",
            "99999999999999999999",
            "17179869184G",
            "1 M",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
