// SPDX-License-Identifier: MIT OR Apache-2.0

//! Code page 850, in which fwup takes the bytes of paths and labels.
//!
//! The bytes of a path are characters of this code page, also if the caller meant UTF-8.

/// The characters 128 to 255.
#[rustfmt::skip]
const EXTENDED: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å',
    'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', 'ø', '£', 'Ø', '×', 'ƒ',
    'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '®', '¬', '½', '¼', '¡', '«', '»',
    '░', '▒', '▓', '│', '┤', 'Á', 'Â', 'À', '©', '╣', '║', '╗', '╝', '¢', '¥', '┐',
    '└', '┴', '┬', '├', '─', '┼', 'ã', 'Ã', '╚', '╔', '╩', '╦', '╠', '═', '╬', '¤',
    'ð', 'Ð', 'Ê', 'Ë', 'È', 'ı', 'Í', 'Î', 'Ï', '┘', '┌', '█', '▄', '¦', 'Ì', '▀',
    'Ó', 'ß', 'Ô', 'Ò', 'õ', 'Õ', 'µ', 'þ', 'Þ', 'Ú', 'Û', 'Ù', 'ý', 'Ý', '¯', '´',
    '\u{ad}', '±', '‗', '¾', '¶', '§', '÷', '¸', '°', '¨', '·', '¹', '³', '²', '■', '\u{a0}',
];

/// The UTF-16 unit of a byte.
pub(crate) fn to_unicode(byte: u8) -> u16 {
    let extended = byte
        .checked_sub(128)
        .and_then(|index| EXTENDED.get(usize::from(index)));
    // All of them are in the Basic Multilingual Plane.
    extended.map_or(u16::from(byte), |&character| character as u16)
}

/// The byte of a UTF-16 unit, if the code page has it.
pub(crate) fn from_unicode(unit: u16) -> Option<u8> {
    if unit < 128 {
        return Some(unit as u8);
    }
    let index = EXTENDED
        .iter()
        .position(|&character| character as u16 == unit)?;
    u8::try_from(index + 128).ok()
}

/// An extended character as it is stored in a short name: in upper case, and mostly without its
/// accent. Other bytes are unchanged.
pub(crate) fn short_upper(byte: u8) -> u8 {
    let Some(character) = byte
        .checked_sub(128)
        .and_then(|i| EXTENDED.get(usize::from(i)))
    else {
        return byte;
    };
    match character {
        'À'..='Å' | 'à'..='å' => b'A',
        'Ç' | 'ç' => b'C',
        'È'..='Ë' | 'è'..='ë' => b'E',
        'Ì'..='Ï' | 'ì'..='ï' | 'ı' => b'I',
        'Ò'..='Ö' | 'ò'..='ö' | 'Ø' | 'ø' => b'O',
        'Ù'..='Ü' | 'ù'..='ü' => b'U',
        'Ý' | 'ý' | 'ÿ' => b'Y',
        'æ' => 0x92,
        'ñ' => 0xa5,
        'ð' => 0xd1,
        'þ' => 0xe8,
        _ => byte,
    }
}

/// A UTF-16 unit in upper case, for comparisons.
///
/// Only letters that have a counterpart in the code page matter, so three others that Unicode maps
/// to ASCII or Greek stay as they are.
pub(crate) fn fold(unit: u16) -> u16 {
    let Some(character) = char::from_u32(u32::from(unit)) else {
        return unit;
    };
    if matches!(character, 'ı' | 'ſ' | 'µ') {
        return unit;
    }
    let mut upper = character.to_uppercase();
    match (upper.next().map(u32::from), upper.next()) {
        (Some(single), None) => u16::try_from(single).unwrap_or(unit),
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_returns() {
        for byte in 0..=255 {
            assert_eq!(from_unicode(to_unicode(byte)), Some(byte));
        }
        assert_eq!(from_unicode(0x20ac), None);
    }

    #[test]
    fn letters_become_capitals() {
        assert_eq!(fold(u16::from(b'z')), u16::from(b'Z'));
        assert_eq!(fold('é' as u16), 'É' as u16);
        assert_eq!(fold('ß' as u16), 'ß' as u16);
        assert_eq!(fold('ÿ' as u16), 'Ÿ' as u16);
        assert_eq!(fold('µ' as u16), 'µ' as u16);
        assert_eq!(fold(0xd800), 0xd800);
        assert_eq!(short_upper(0x82), b'E');
        assert_eq!(short_upper(0xb0), 0xb0);
        assert_eq!(short_upper(b'a'), b'a');
    }
}
