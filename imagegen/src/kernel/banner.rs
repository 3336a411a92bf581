// SPDX-License-Identifier: MIT OR Apache-2.0

/// Returns the version banner of an Image, `Linux version 6.1.0 …`, up to the first byte that is
/// not printable ASCII, at most 300 bytes.
#[must_use]
pub fn banner(image: &[u8]) -> Option<String> {
    const START: &[u8] = b"Linux version ";
    let mut rest = image;
    loop {
        // A format string in the kernel has the same start; only the banner continues with a digit.
        let at = find(rest, START)?;
        let text = &rest[at..];
        if text.get(START.len()).is_some_and(u8::is_ascii_digit) {
            let end = text
                .iter()
                .position(|byte| !(b' '..=b'~').contains(byte))
                .unwrap_or(text.len());
            return Some(String::from_utf8_lossy(&text[..end.min(300)]).into_owned());
        }
        rest = &text[START.len()..];
    }
}

/// Returns the offset of a text. Looking for its first byte first keeps this fast in large files.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(text) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::image;
    use super::*;

    #[test]
    fn the_banner_is_found() {
        assert_eq!(
            banner(&image(5000)).unwrap(),
            "Linux version 6.1.0-demo (x)"
        );
        assert_eq!(banner(&[b'L'; 5000]), None);
        assert_eq!(banner(b""), None);
    }
}
