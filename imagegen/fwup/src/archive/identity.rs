// SPDX-License-Identifier: MIT OR Apache-2.0

//! The UUID and the nickname of an archive, both hashes of `meta.conf`.

use crate::blake2b::Hasher;
use crate::hex;

/// The UUID 2053dffb-d51e-4310-b93b-956da89f9f34, which fwup prepends to `meta.conf` for the hash.
const NAMESPACE: [u8; 16] = 0x2053_dffb_d51e_4310_b93b_956d_a89f_9f34_u128.to_be_bytes();

/// The 256 words of nicknames, one per line. The words are fwup's; see the file NOTICE.
const WORDS: &str = include_str!("nickname-words.txt");

/// UUID and nickname.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The UUID in the usual form, in lower case.
    pub uuid: String,
    /// Two words, joined by `-`.
    pub nickname: String,
}

impl Identity {
    /// Returns the identity of the archive with this `meta.conf`.
    #[must_use]
    pub fn of(meta_conf: &[u8]) -> Self {
        let mut hash = Hasher::new();
        hash.update(&NAMESPACE);
        hash.update(meta_conf);
        let mut hash = hash.finalize();
        // The nickname uses the hash's first bytes, which setting the UUID's version leaves
        // unchanged.
        let word = |byte: u8| WORDS.lines().nth(usize::from(byte)).unwrap_or_default();
        let nickname = format!("{}-{}", word(hash[0]), word(hash[1]));
        hash[6] = hash[6] & 0x0f | 0x50;
        let uuid = [0..4, 4..6, 6..8, 8..10, 10..16]
            .map(|part| hex::encode(&hash[part]))
            .join("-");
        Self { uuid, nickname }
    }
}
