// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ciphers of dm-crypt for the blocks of a partition.
//!
//! Source: the kernel's Documentation/admin-guide/device-mapper/dm-crypt.rst. The sector number,
//! which the initialisation vector contains, counts from the start of the partition.

use std::fmt;

use aes::Aes256;
use cbc::cipher::consts::U64;
use cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use little_loader_core::units::BLOCK_SIZE;
use xts_mode::{Xts128, get_tweak_default};
use zeroize::Zeroizing;

use crate::hex;
use crate::keys::from_base64;

/// The size of an encrypted block in bytes.
pub const CIPHER_BLOCK: usize = BLOCK_SIZE as usize;

/// The length of a key for CBC in bytes.
const CBC_KEY: usize = 32;
/// The length of a key for XTS in bytes: one key for the data, and one for the tweak.
const XTS_KEY: usize = 64;

/// Why the options of a cipher are invalid. No message contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskCipherError {
    /// An option without a value.
    #[error("found an option without '=', expected cipher=NAME and secret=KEY")]
    NoValue,
    /// An option that does not exist.
    #[error("unexpected option '{0}', expected cipher=NAME and secret=KEY")]
    Unknown(String),
    /// One of the two options is missing or empty.
    #[error("{found} needs {missing}; is a variable not set?")]
    Incomplete {
        /// The option that is set.
        found: &'static str,
        /// The option that is not.
        missing: &'static str,
    },
    /// A cipher that does not exist.
    #[error("unsupported cipher '{0}', expected aes-cbc-plain or aes-xts-plain64")]
    Cipher(String),
    /// A secret of the wrong length or with other characters.
    #[error(
        "{cipher} needs a secret of {bytes} bytes as {} hexadecimal digits, found {found} characters, or not only digits",
        bytes * 2
    )]
    Secret {
        /// The cipher.
        cipher: &'static str,
        /// The expected length in bytes.
        bytes: usize,
        /// The number of characters found.
        found: usize,
    },
}

/// A cipher with its key, which is cleared from memory when the cipher is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct DiskCipher(Key);

#[derive(Clone, PartialEq, Eq)]
enum Key {
    /// AES-256 in CBC mode; the vector is the low 32 bits of the sector number, little-endian.
    CbcPlain(Box<Zeroizing<[u8; CBC_KEY]>>),
    /// AES-256 in XTS mode; the tweak is the sector number in 64 bits, little-endian.
    XtsPlain64(Box<Zeroizing<[u8; XTS_KEY]>>),
}

/// Does not show the key.
impl fmt::Debug for DiskCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Key::CbcPlain(_) => "DiskCipher(aes-cbc-plain)",
            Key::XtsPlain64(_) => "DiskCipher(aes-xts-plain64)",
        })
    }
}

impl DiskCipher {
    /// Parses the options `cipher=NAME` and `secret=KEY`. Each text has one or more of them,
    /// separated by commas; of a repeated option the last one applies. `None` if there is no text.
    ///
    /// The secret is in hexadecimal digits; for aes-cbc-plain it may also be base64, as in old
    /// archives.
    ///
    /// # Errors
    ///
    /// Every [`DiskCipherError`].
    pub fn parse(texts: &[&str]) -> Result<Option<Self>, DiskCipherError> {
        let (mut cipher, mut secret) = ("", "");
        for option in texts.iter().flat_map(|text| text.split(',')) {
            match option.split_once('=') {
                Some(("cipher", value)) => cipher = value,
                Some(("secret", value)) => secret = value,
                Some((name, _)) => return Err(DiskCipherError::Unknown(name.to_owned())),
                None => return Err(DiskCipherError::NoValue),
            }
        }
        let incomplete = |found, missing| Err(DiskCipherError::Incomplete { found, missing });
        match (cipher, secret) {
            ("", "") if texts.is_empty() => return Ok(None),
            ("", "") => return incomplete("encryption", "cipher= and secret="),
            ("", _) => return incomplete("secret=", "cipher="),
            (_, "") => return incomplete("cipher=", "secret="),
            _ => {}
        }
        let wrong = |cipher, bytes| DiskCipherError::Secret {
            cipher,
            bytes,
            found: secret.chars().count(),
        };
        let key = match cipher {
            "aes-cbc-plain" => digits(secret)
                .or_else(|| from_base64(secret.as_bytes()))
                .map(|key| Key::CbcPlain(Box::new(key)))
                .ok_or_else(|| wrong("aes-cbc-plain", CBC_KEY))?,
            "aes-xts-plain64" => digits(secret)
                .map(|key| Key::XtsPlain64(Box::new(key)))
                .ok_or_else(|| wrong("aes-xts-plain64", XTS_KEY))?,
            other => return Err(DiskCipherError::Cipher(other.to_owned())),
        };
        Ok(Some(Self(key)))
    }

    /// Encrypts consecutive blocks in place. `first` is the number of the first one, counted from
    /// the start of the partition.
    pub fn encrypt(&self, first: u64, blocks: &mut [[u8; CIPHER_BLOCK]]) {
        let numbered = numbered(first, blocks);
        match &self.0 {
            Key::CbcPlain(key) => {
                let aes = Aes256::new(Array::cast_from_core(key));
                for (number, block) in numbered {
                    cbc::Encryptor::inner_iv_init(&aes, &plain(number).into())
                        .encrypt_blocks(Array::cast_slice_from_core_mut(block.as_chunks_mut().0));
                }
            }
            Key::XtsPlain64(key) => {
                let xts = xts(key);
                for (number, block) in numbered {
                    xts.encrypt_sector(block, get_tweak_default(number.into()));
                }
            }
        }
    }

    /// Decrypts consecutive blocks in place, the inverse of [`encrypt`](Self::encrypt).
    pub fn decrypt(&self, first: u64, blocks: &mut [[u8; CIPHER_BLOCK]]) {
        let numbered = numbered(first, blocks);
        match &self.0 {
            Key::CbcPlain(key) => {
                let aes = Aes256::new(Array::cast_from_core(key));
                for (number, block) in numbered {
                    cbc::Decryptor::inner_iv_init(&aes, &plain(number).into())
                        .decrypt_blocks(Array::cast_slice_from_core_mut(block.as_chunks_mut().0));
                }
            }
            Key::XtsPlain64(key) => {
                let xts = xts(key);
                for (number, block) in numbered {
                    xts.decrypt_sector(block, get_tweak_default(number.into()));
                }
            }
        }
    }
}

fn numbered(
    first: u64,
    blocks: &mut [[u8; CIPHER_BLOCK]],
) -> impl Iterator<Item = (u64, &mut [u8; CIPHER_BLOCK])> {
    let counted = (0_u64..).zip(blocks);
    counted.map(move |(count, block)| (first.wrapping_add(count), block))
}

/// Returns the initialisation vector that dm-crypt calls `plain`.
fn plain(number: u64) -> [u8; 16] {
    let mut vector = [0; 16];
    // The kernel uses only the low 32 bits.
    vector[..4].copy_from_slice(&(number as u32).to_le_bytes());
    vector
}

fn xts(key: &[u8; XTS_KEY]) -> Xts128<Aes256> {
    let both: &Array<u8, U64> = Array::cast_from_core(key);
    let (data, tweak) = both.split_ref();
    Xts128::new(Aes256::new(data), Aes256::new(tweak))
}

/// Decodes a secret of `N` bytes from hexadecimal digits.
fn digits<const N: usize>(secret: &str) -> Option<Zeroizing<[u8; N]>> {
    let bytes = Zeroizing::new(hex::decode(secret)?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    const CBC: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn parse(texts: &[&str]) -> DiskCipher {
        DiskCipher::parse(texts).unwrap().unwrap()
    }

    fn cbc() -> DiskCipher {
        parse(&["cipher=aes-cbc-plain", &format!("secret={CBC}")])
    }

    fn xts_of_ones() -> DiskCipher {
        let secret = "11".repeat(64);
        parse(&[&format!("cipher=aes-xts-plain64,secret={secret}")])
    }

    fn block(seed: u8) -> [u8; CIPHER_BLOCK] {
        std::array::from_fn(|number| (number as u8).wrapping_mul(seed).wrapping_add(seed))
    }

    #[test]
    fn cbc_is_that_of_openssl() {
        // The number is longer than the 32 bits of the vector.
        let mut blocks = [block(3), block(5)];
        cbc().encrypt(0x7_0102_0304, &mut blocks);
        for (number, seed, encrypted) in [(4, 3, blocks[0]), (5, 5, blocks[1])] {
            let vector = format!("{number:02x}030201000000000000000000000000");
            let mut child = Command::new("openssl")
                .args(["enc", "-aes-256-cbc", "-nopad", "-K", CBC, "-iv", &vector])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the program openssl is installed");
            child.stdin.take().unwrap().write_all(&block(seed)).unwrap();
            assert_eq!(child.wait_with_output().unwrap().stdout, encrypted);
        }
    }

    /// IEEE 1619-2007, annex B, vector 10: its 512 bytes count from 0 to 255 twice, and the data
    /// unit is 255.
    #[test]
    fn xts_is_that_of_ieee_1619() {
        let secret = "27182818284590452353602874713526624977572470936999595749669676273141592653589793238462643383279502884197169399375105820974944592";
        let cipher = parse(&["cipher=aes-xts-plain64", &format!("secret={secret}")]);
        let mut blocks = [block(1).map(|byte| byte.wrapping_sub(1))];
        cipher.encrypt(255, &mut blocks);
        assert_eq!(
            hex::encode(&blocks[0][..32]),
            "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
        );
        assert_eq!(
            hex::encode(&blocks[0][480..]),
            "773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151"
        );
    }

    #[test]
    fn options_are_read_in_every_form() {
        let expected = cbc();
        for texts in [
            &[&*format!("cipher=aes-cbc-plain,secret={CBC}")][..],
            &[&format!("secret={CBC}"), "cipher=aes-cbc-plain"],
            &[
                "cipher=aes-cbc-plain",
                &format!("secret={}", CBC.to_uppercase()),
            ],
            // The deprecated form in base64.
            &[
                "cipher=aes-cbc-plain",
                "secret=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            ],
            &["cipher=x", &format!("secret={CBC}"), "cipher=aes-cbc-plain"],
        ] {
            assert_eq!(parse(texts), expected, "{texts:?}");
        }
        assert_eq!(DiskCipher::parse(&[]), Ok(None));
        assert_eq!(format!("{expected:?}"), "DiskCipher(aes-cbc-plain)");
    }

    #[test]
    fn errors_name_the_option_and_never_the_secret() {
        for (texts, expected) in [
            (
                &["cipher=aes-cbc-plain"][..],
                "cipher= needs secret=; is a variable not set?",
            ),
            (
                &["cipher=aes-cbc-plain", "secret="],
                "cipher= needs secret=; is a variable not set?",
            ),
            (
                &["secret=123"],
                "secret= needs cipher=; is a variable not set?",
            ),
            (
                &["cipher=,secret="],
                "encryption needs cipher= and secret=; is a variable not set?",
            ),
            (
                &["unsupported=1"],
                "unexpected option 'unsupported', expected cipher=NAME and secret=KEY",
            ),
            (
                &["0123abcd"],
                "found an option without '=', expected cipher=NAME and secret=KEY",
            ),
            (
                &["cipher=aes-cbc-plain,"],
                "found an option without '=', expected cipher=NAME and secret=KEY",
            ),
            (
                &["cipher=aes-cbc", "secret=00"],
                "unsupported cipher 'aes-cbc', expected aes-cbc-plain or aes-xts-plain64",
            ),
            (
                &["cipher=aes-cbc-plain", "secret=0001"],
                "aes-cbc-plain needs a secret of 32 bytes as 64 hexadecimal digits, found 4 characters, or not only digits",
            ),
            (
                &["cipher=aes-xts-plain64", &format!("secret={CBC}")],
                "aes-xts-plain64 needs a secret of 64 bytes as 128 hexadecimal digits, found 64 characters, or not only digits",
            ),
        ] {
            let error = DiskCipher::parse(texts).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn decrypting_is_the_inverse(first in 0..u64::MAX - 4, count in 0_usize..4, seed: u8) {
            for cipher in [cbc(), xts_of_ones()] {
                let plain = vec![block(seed); count];
                let mut blocks = plain.clone();
                cipher.encrypt(first, &mut blocks);
                let mut single = plain.clone();
                for (number, block) in (first..).zip(&mut single) {
                    cipher.encrypt(number, std::slice::from_mut(block));
                }
                prop_assert_eq!(&single, &blocks);
                prop_assert!(count == 0 || blocks != plain);
                cipher.decrypt(first, &mut blocks);
                prop_assert_eq!(blocks, plain);
            }
        }
    }
}
