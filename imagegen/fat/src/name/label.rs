// SPDX-License-Identifier: MIT OR Apache-2.0

//! Volume labels.

use super::code_page::{fold, from_unicode, to_unicode};
use super::segment::ShortName;

/// Converts a label to its entry in the root directory; `None` for an empty one, which removes
/// the entry.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn encode(label: &[u8]) -> Result<Option<ShortName>, &'static str> {
    let mut name = [b' '; 11];
    if label.len() > name.len() {
        return Err("it is longer than 11 characters");
    }
    for (to, &from) in name.iter_mut().zip(label) {
        if from < b' ' || b"+.,;=[]/*:<>|\\\"?\x7f".contains(&from) {
            return Err(
                "it contains a control character or one of + . , ; = [ ] / * : < > | \\ \" ?",
            );
        }
        let upper = from_unicode(fold(to_unicode(from)));
        *to = upper.ok_or("a character has no capital letter in code page 850")?;
    }
    if name[0] == 0xe5 {
        return Err("its first character would mark a deleted entry");
    }
    Ok((name != [b' '; 11]).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!(encode(b"boot-A").unwrap(), Some(*b"BOOT-A     "));
        assert_eq!(encode(b"  ").unwrap(), None);
        assert_eq!(encode(b"").unwrap(), None);
        assert_eq!(encode(b"\x82").unwrap().unwrap()[0], 0x90);
        for label in ["twelve chars", "a.b", "a\n", "\u{7f}"] {
            encode(label.as_bytes()).unwrap_err();
        }
        encode(b"\xe5").unwrap_err();
        encode(b"\x98").unwrap_err();
    }
}
