// SPDX-License-Identifier: MIT OR Apache-2.0

use ed25519_dalek::{Signature, VerifyingKey};

use super::error::{KeyError, KeyKind};
use super::source::KeySource;
use super::{PUBLIC_KEY, SIGNATURE};

/// A key that authenticates archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; PUBLIC_KEY],
    /// The file or option, for messages.
    name: String,
}

impl PublicKey {
    /// Reads a key. Bytes that are not a key of the curve are accepted, because another key may
    /// authenticate the archive; they verify nothing.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the length is wrong.
    pub fn read(source: &KeySource) -> Result<Self, KeyError> {
        Ok(Self {
            bytes: *source.read(KeyKind::Public)?,
            name: source.name(KeyKind::Public),
        })
    }

    /// Returns a key with a name for messages.
    #[must_use]
    pub fn new(bytes: [u8; PUBLIC_KEY], name: String) -> Self {
        Self { bytes, name }
    }

    /// Returns the key's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; PUBLIC_KEY] {
        &self.bytes
    }

    /// Whether the private key of this key made the signature of `message`. Never for a key of
    /// small order, for which anybody can make signatures.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.curve_key()
            .is_some_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    /// Returns the name for a list of keys in a message. Says so if no signature can match the key.
    pub(crate) fn described(&self) -> String {
        match self.curve_key() {
            Some(_) => self.name.clone(),
            None => format!("{}, which is not an Ed25519 key", self.name),
        }
    }

    fn curve_key(&self) -> Option<VerifyingKey> {
        let key = VerifyingKey::from_bytes(&self.bytes).ok();
        key.filter(|key| !key.is_weak())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    /// RFC 8032, section 7.1, tests 1 to 3.
    #[test]
    fn the_signatures_of_the_rfc_are_verified() {
        for (key, message, signature) in [
            (
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &[][..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                &[0x72],
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let key = PublicKey::new(bytes(key), "test".to_owned());
            let mut signature = bytes(signature);
            assert!(key.verifies(message, &signature));
            assert!(!key.verifies(b"another message", &signature));
            signature[40] ^= 1;
            assert!(!key.verifies(message, &signature));
        }
    }

    #[test]
    fn a_key_that_verifies_anything_verifies_nothing() {
        // The neutral element: with R the neutral element and S zero, the equation always holds.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let key = PublicKey::new(neutral, "'weak.pub'".to_owned());
        assert!(!key.verifies(b"message", &signature));
        assert_eq!(key.described(), "'weak.pub', which is not an Ed25519 key");
        // Not a point of the curve.
        let mut bytes = [0; 32];
        bytes[0] = 2;
        let key = PublicKey::new(bytes, "'x'".to_owned());
        assert_eq!(key.described(), "'x', which is not an Ed25519 key");
        assert!(!key.verifies(b"message", &signature));
    }
}
