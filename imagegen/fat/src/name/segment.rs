// SPDX-License-Identifier: MIT OR Apache-2.0

//! One name of a path: its long form and the short name made from it.
//!
//! The rules follow from the bytes that FatFs R0.15 writes with code page 850.

use super::code_page::{from_unicode, short_upper, to_unicode};

/// A short name without its dot, padded with spaces.
pub(crate) type ShortName = [u8; 11];

/// The longest long name in UTF-16 units.
const LONGEST: usize = 255;
const DOT: u16 = b'.' as u16;
const SPACE: u16 = b' ' as u16;

/// Flags of a short entry: the body or the extension is shown in lower case.
const LOWER_BODY: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// A name that can be searched for and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Without spaces and dots at the end, 1 to 255 units.
    pub(crate) long: Vec<u16>,
    pub(crate) short: ShortName,
    /// Something was lost in the short name, so that it gets a number.
    pub(crate) is_lossy: bool,
    /// The short entry alone cannot restore the name.
    pub(crate) needs_long: bool,
    /// The flags for lower case in the short entry.
    pub(crate) case: u8,
}

/// Which letters a part of the short name had.
#[derive(Default)]
struct Case {
    upper: bool,
    lower: bool,
}

impl Case {
    fn is_mixed(&self) -> bool {
        self.upper && self.lower
    }
}

impl Name {
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.iter().any(|&byte| byte < b' ' || byte == 0x7f) {
            return Err("it contains a control character");
        }
        if bytes.iter().any(|byte| b"*:<>|\"?".contains(byte)) {
            return Err("a name cannot contain any of * : < > | \" ?");
        }
        if bytes.len() > LONGEST {
            return Err("a name is longer than 255 characters");
        }
        let mut long: Vec<u16> = bytes.iter().copied().map(to_unicode).collect();
        while matches!(long.last(), Some(&(SPACE | DOT))) {
            long.pop();
        }
        if long.is_empty() {
            return Err("a name is empty or consists of spaces and dots");
        }
        Ok(Self::shorten(long))
    }

    fn shorten(long: Vec<u16>) -> Self {
        let start = long.iter().take_while(|&&unit| unit == SPACE).count();
        let dot = long.iter().rposition(|&unit| unit == DOT);
        let body = &long[start..dot.unwrap_or(long.len())];
        let extension = dot.map_or(&[][..], |dot| &long[dot + 1..]);
        let mut builder = Builder {
            short: [b' '; 11],
            is_lossy: start > 0 || long.get(start) == Some(&DOT),
            is_extended: false,
        };
        let body_case = builder.fill(body, 0..8);
        let extension_case = builder.fill(extension, 8..11);
        let needs_long = builder.is_lossy
            || builder.is_extended
            || body_case.is_mixed()
            || extension_case.is_mixed();
        let mut case = 0;
        if !needs_long && body_case.lower {
            case |= LOWER_BODY;
        }
        if !needs_long && extension_case.lower {
            case |= LOWER_EXTENSION;
        }
        Self {
            long,
            short: builder.short,
            is_lossy: builder.is_lossy,
            needs_long,
            case,
        }
    }

    /// The short name with a number from 1. From the sixth the number is a hash of the long name,
    /// so that a directory of similar names does not need ever more attempts.
    pub(crate) fn numbered(&self, number: u32) -> ShortName {
        let number = if number > 5 {
            self.hash(number)
        } else {
            number
        };
        let suffix = format!("~{number:X}");
        let stem = self.short[..8].iter().position(|&byte| byte == b' ');
        let at = stem.unwrap_or(8).min(8 - suffix.len());
        let mut short = self.short;
        short[at..8].fill(b' ');
        short[at..at + suffix.len()].copy_from_slice(suffix.as_bytes());
        short
    }

    /// The remainder of `seed` and the bits of the long name, the lowest of each unit first,
    /// divided by the polynomial 0x11021.
    fn hash(&self, seed: u32) -> u32 {
        let mut register = seed;
        for &unit in &self.long {
            for bit in 0..16 {
                register = (register << 1) + u32::from(unit >> bit & 1);
                if register & 0x1_0000 != 0 {
                    register ^= 0x1_1021;
                }
            }
        }
        register
    }
}

struct Builder {
    short: ShortName,
    is_lossy: bool,
    is_extended: bool,
}

impl Builder {
    fn fill(&mut self, part: &[u16], field: std::ops::Range<usize>) -> Case {
        let mut case = Case::default();
        let mut at = field.start;
        for &unit in part {
            if unit == SPACE || unit == DOT {
                self.is_lossy = true;
                continue;
            }
            if at == field.end {
                self.is_lossy = true;
                break;
            }
            self.is_extended |= unit >= 128;
            let byte = from_unicode(unit).map_or(b'_', short_upper);
            self.short[at] = match byte {
                b'+' | b',' | b';' | b'=' | b'[' | b']' => {
                    self.is_lossy = true;
                    b'_'
                }
                _ => {
                    case.upper |= byte.is_ascii_uppercase();
                    case.lower |= byte.is_ascii_lowercase();
                    byte.to_ascii_uppercase()
                }
            };
            at += 1;
        }
        case
    }
}

/// The checksum that ties long entries to their short name.
pub(crate) fn checksum(short: &ShortName) -> u8 {
    short
        .iter()
        .fold(0, |sum: u8, &byte| sum.rotate_right(1).wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(name: &str) -> (String, bool, bool, u8) {
        let name = Name::parse(name.as_bytes()).unwrap();
        let short = String::from_utf8_lossy(&name.short).into_owned();
        (short, name.is_lossy, name.needs_long, name.case)
    }

    #[test]
    fn short_names() {
        let cases = [
            ("KERNEL.IMG", "KERNEL  IMG", false, false, 0),
            ("kernel.img", "KERNEL  IMG", false, false, 0x18),
            ("kernel.IMG", "KERNEL  IMG", false, false, 0x08),
            ("Kernel.img", "KERNEL  IMG", false, true, 0),
            ("kernel8.img", "KERNEL8 IMG", false, false, 0x18),
            ("bcm2710-rpi-3-b.dtb", "BCM2710-DTB", true, true, 0),
            ("a.b.c", "AB      C  ", true, true, 0),
            (".bashrc", "        BAS", true, true, 0),
            ("a b", "AB         ", true, true, 0),
            ("a+b", "A_B        ", true, true, 0),
            ("x. ", "X          ", false, false, 0x08),
        ];
        for (name, expected, is_lossy, needs_long, case) in cases {
            let expected = (expected.to_owned(), is_lossy, needs_long, case);
            assert_eq!(short(name), expected, "{name}");
        }
    }

    #[test]
    fn invalid_names() {
        for name in ["", ".", "..", " . ", "a:b", "a\nb", "a?", "\x7f"] {
            Name::parse(name.as_bytes()).unwrap_err();
        }
        Name::parse(&[b'a'; 255]).unwrap();
        Name::parse(&[b'a'; 256]).unwrap_err();
    }

    #[test]
    fn numbers_replace_the_end() {
        let long = Name::parse(b"longfilename.txt").unwrap();
        assert_eq!(&long.numbered(1), b"LONGFI~1TXT");
        let hashed = long.numbered(6);
        assert_eq!(hashed[3], b'~');
        assert_eq!(&Name::parse(b"a b").unwrap().numbered(2), b"AB~2       ");
        assert_eq!(
            &Name::parse(b".bashrc").unwrap().numbered(1),
            b"~1      BAS"
        );
    }
}
