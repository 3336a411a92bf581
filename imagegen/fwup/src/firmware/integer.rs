// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole numbers as C's `strtol` reads them with base 0: decimal, `0x…`, or octal with a leading
//! zero.

/// Parses a number without spaces or sign at the start of a text. Returns it, or `None` if it does
/// not fit, and its length in bytes.
pub(crate) fn prefix(text: &str) -> Option<(Option<i64>, usize)> {
    let (digits, start, radix) = digits_of(text);
    let length = digits
        .bytes()
        .take_while(|byte| char::from(*byte).is_digit(radix))
        .count();
    if length == 0 {
        return None;
    }
    Some((
        i64::from_str_radix(&digits[..length], radix).ok(),
        start + length,
    ))
}

/// Parses a whole text as a number with an optional sign; leading spaces are skipped.
pub(crate) fn parse(text: &str) -> Option<i64> {
    i64::try_from(wide(text)?).ok()
}

/// Like [`parse`], for a number of 64 bits without a sign.
pub(crate) fn unsigned(text: &str) -> Option<u64> {
    u64::try_from(wide(text)?).ok()
}

fn wide(text: &str) -> Option<i128> {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, _, radix) = digits_of(digits);
    if !digits.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// Returns the digits, their offset in the text, and their radix.
fn digits_of(text: &str) -> (&str, usize, u32) {
    let hexadecimal = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .filter(|digits| digits.starts_with(|first: char| first.is_ascii_hexdigit()));
    match hexadecimal {
        Some(digits) => (digits, 2, 16),
        None if text.starts_with('0') => (text, 0, 8),
        None => (text, 0, 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_three_bases() {
        for (text, value) in [
            ("0", 0),
            ("131", 131),
            ("0x83", 131),
            ("0X83", 131),
            ("0203", 131),
            ("-1", -1),
            ("+7", 7),
            ("  12", 12),
            ("-9223372036854775808", i64::MIN),
            ("0xffffffff", 0xffff_ffff),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
            assert_eq!(unsigned(text), u64::try_from(value).ok(), "{text}");
        }
        for text in [
            "",
            "-",
            "x",
            "0x",
            "08",
            "1 ",
            "1.5",
            "--1",
            "0x-1",
            "18446744073709551616",
            "1é",
        ] {
            assert_eq!(parse(text), None, "{text}");
            assert_eq!(unsigned(text), None, "{text}");
        }
        for text in ["0x8000000000000000", "9223372036854775808"] {
            assert_eq!(parse(text), None, "{text}");
            assert_eq!(unsigned(text), Some(1 << 63), "{text}");
        }
    }
}
