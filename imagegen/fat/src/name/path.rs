// SPDX-License-Identifier: MIT OR Apache-2.0

//! Paths: names separated by slashes or backslashes, always from the root.

/// The longest path in bytes that fwup handles.
pub(crate) const LONGEST_PATH: usize = 252;

/// The names of a path. Separators at the start, at the end, and repeated ones do not count.
///
/// # Errors
///
/// What is wrong with the path as a whole.
pub(crate) fn segments(path: &str) -> Result<Vec<&[u8]>, &'static str> {
    if path.len() > LONGEST_PATH {
        return Err("it is longer than 252 bytes");
    }
    let names = path.as_bytes().split(|byte| matches!(byte, b'/' | b'\\'));
    Ok(names.filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators() {
        let names = segments("/a\\\\b//c.txt/").unwrap();
        assert_eq!(names, [&b"a"[..], b"b", b"c.txt"]);
        assert!(segments("//").unwrap().is_empty());
        segments(&"a".repeat(253)).unwrap_err();
    }
}
