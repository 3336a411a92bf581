// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers as the configuration has them.

/// A whole number: decimal, hexadecimal behind `0x`, octal behind `0`. `None` for everything else.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let (digits, base) = if let Some(digits) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        (digits, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        (&text[1..], 8)
    } else {
        (text, 10)
    };
    // What follows a prefix may not have a sign again.
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, base).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_bases() {
        for (text, expected) in [
            ("0", Some(0)),
            ("010", Some(8)),
            ("0x1F", Some(31)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("0x", None),
            ("+1", None),
            ("-1", None),
            ("08", None),
            ("1 ", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
