// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use super::error::{KeyError, KeyKind};
use super::source::KeySource;
use super::{PRIVATE_KEY, PUBLIC_KEY, SIGNATURE};

/// A key that signs archives. Its memory is overwritten when it is dropped.
pub struct PrivateKey {
    key: SigningKey,
    /// The public key that follows the seed.
    stored_public: [u8; PUBLIC_KEY],
}

/// Does not show the key.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the length is wrong.
    pub fn read(source: &KeySource) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(&*source.read(KeyKind::Private)?))
    }

    /// Returns the key with these bytes: the seed, then the public key.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; PRIVATE_KEY]) -> Self {
        let mut seed = Zeroizing::new([0; PRIVATE_KEY - PUBLIC_KEY]);
        let (first, second) = bytes.split_at(PRIVATE_KEY - PUBLIC_KEY);
        seed.copy_from_slice(first);
        let mut stored_public = [0; PUBLIC_KEY];
        stored_public.copy_from_slice(second);
        Self {
            key: SigningKey::from_bytes(&seed),
            stored_public,
        }
    }

    /// Returns the key of this seed.
    pub(super) fn from_seed(seed: &[u8; PRIVATE_KEY - PUBLIC_KEY]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let stored_public = key.verifying_key().to_bytes();
        Self { key, stored_public }
    }

    /// Returns the bytes for a file: the seed, then the public key.
    pub(super) fn bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY]> {
        Zeroizing::new(self.key.to_keypair_bytes())
    }

    /// Returns the public key of the seed.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_KEY] {
        self.key.verifying_key().to_bytes()
    }

    /// Whether the bytes that the key was read from were damaged: the public key in them is not
    /// that of the seed.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.stored_public != self.public()
    }

    /// Signs a message. The same message always has the same signature.
    ///
    /// The public key of the seed is used even if the key [is damaged](Self::is_damaged): two
    /// signatures of one message with different public keys reveal the private key.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE] {
        self.key.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::PublicKey;
    use super::*;
    use crate::hex;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn a_signature_is_that_of_the_rfc() {
        let bytes = hex::decode(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\
             3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        );
        let mut bytes: [u8; 64] = bytes.unwrap().try_into().unwrap();
        let key = PrivateKey::from_bytes(&bytes);
        let signature = key.sign(&[0x72]);
        assert_eq!(
            hex::encode(&signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert!(!key.is_damaged());
        assert_eq!(key.public(), bytes[32..]);
        assert_eq!(*key.bytes(), bytes);
        assert_eq!(format!("{key:?}"), "PrivateKey");
        // A damaged public key changes no signature.
        bytes[63] ^= 1;
        let damaged = PrivateKey::from_bytes(&bytes);
        assert!(damaged.is_damaged());
        assert_eq!(damaged.sign(&[0x72]), signature);
        // A damaged seed makes signatures that the public key does not verify.
        bytes[63] ^= 1;
        let public = PublicKey::new(key.public(), String::new());
        assert!(public.verifies(&[0x72], &signature));
        bytes[0] ^= 1;
        let damaged = PrivateKey::from_bytes(&bytes);
        assert!(damaged.is_damaged());
        assert!(!public.verifies(&[0x72], &damaged.sign(&[0x72])));
    }
}
