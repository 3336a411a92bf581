// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys as base64 (RFC 4648, section 4).

use base64ct::{Base64, Base64Unpadded, Encoding};
use zeroize::Zeroizing;

/// Decodes a key of `N` bytes: the bytes themselves, or their base64 with or without padding. Space
/// before the base64 and inside it is ignored, and so is everything after it. `None` for anything
/// else.
#[must_use]
pub fn decode<const N: usize>(input: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    match input.try_into() {
        Ok(raw) => Some(Zeroizing::new(raw)),
        Err(_) => from_base64(input),
    }
}

/// Decodes the base64 of a key of `N` bytes, like [`decode`].
pub(crate) fn from_base64<const N: usize>(input: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let length = (N * 8).div_ceil(6);
    // One more, so that longer base64 is noticed.
    let mut digits = Zeroizing::new(Vec::with_capacity(length + 1));
    for byte in input {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if digits.len() <= length => {
                digits.push(*byte);
            }
            byte if byte.is_ascii_whitespace() && digits.len() < length => {}
            _ => break,
        }
    }
    if digits.len() != length {
        return None;
    }
    let mut key = Zeroizing::new([0; N]);
    // Fails if the unused bits of the last digit are set.
    let decoded = Base64Unpadded::decode(&**digits, &mut *key).ok()?;
    (decoded.len() == N).then_some(key)
}

/// Encodes a key as one line of padded base64, without a line feed.
pub(super) fn to_base64(key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(Base64::encode_string(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A public key of the format's documentation, `0x00, 0x01, …`, in base64.
    const COUNTED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn counted(text: &str) -> bool {
        let expected: [u8; 32] = std::array::from_fn(|number| number as u8);
        decode::<32>(text.as_bytes()).is_some_and(|key| *key == expected)
    }

    #[test]
    fn base64_is_read_with_and_without_padding_and_with_space() {
        let unpadded = COUNTED.trim_end_matches('=');
        let (start, end) = unpadded.split_at(20);
        for text in [
            COUNTED.to_owned(),
            unpadded.to_owned(),
            format!("{COUNTED}\n"),
            format!("{unpadded} \t\r\n\n"),
            format!("\n  {COUNTED}"),
            format!("{start}\n{end}=\n"),
            format!("{COUNTED} of the build server"),
            format!("{unpadded} of the build server"),
        ] {
            assert!(counted(&text), "{text:?}");
        }
    }

    #[test]
    fn other_texts_are_not_keys() {
        let unpadded = COUNTED.trim_end_matches('=');
        for text in [
            "",
            "=",
            &unpadded[1..],
            &format!("{unpadded}A"),
            // The last two bits must be zero.
            &unpadded.replace("Hh8", "Hh9"),
            &format!("#{COUNTED}"),
            &COUNTED.replace('A', "_"),
            &format!("{}={}", &unpadded[..20], &unpadded[20..]),
        ] {
            assert!(decode::<32>(text.as_bytes()).is_none(), "{text:?}");
        }
        // The bytes of a key are not searched for base64.
        assert_eq!(*decode::<32>(&[b'A'; 32]).unwrap(), [b'A'; 32]);
    }

    proptest! {
        #[test]
        fn every_key_reads_back(key: [u8; 64], public: [u8; 32]) {
            prop_assert_eq!(*decode::<64>(&key).unwrap(), key);
            prop_assert_eq!(*decode::<64>(to_base64(&key).as_bytes()).unwrap(), key);
            prop_assert_eq!(*decode::<32>(to_base64(&public).as_bytes()).unwrap(), public);
        }

        #[test]
        fn what_is_read_from_a_text_is_encoded_in_it(text in "[A-Za-z0-9+/= \n]{40,50}") {
            if let Some(key) = decode::<32>(text.as_bytes()) {
                let digits: String = text.split_whitespace().collect();
                let encoded = to_base64(&*key);
                prop_assert!(digits.starts_with(encoded.trim_end_matches('=')));
            }
        }
    }
}
