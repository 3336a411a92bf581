// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks who made an archive. `meta.conf` is signed, and it contains the hashes of all resources.

use crate::keys::{PublicKey, SIGNATURE};

/// The largest number of public keys.
pub const MOST_KEYS: usize = 10;

/// Why an archive is not from a known key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// There is no signature.
    #[error(
        "the archive is not signed, expected a signature by a public key ({keys}): sign it with fwup -S, or give no public key to accept any archive"
    )]
    Unsigned {
        /// The keys.
        keys: String,
    },
    /// No key verifies the signature.
    #[error(
        "the signature of the archive's meta.conf is not by a public key ({keys}): it was signed with another key, or meta.conf was changed afterwards"
    )]
    Untrusted {
        /// The keys.
        keys: String,
    },
}

/// Checks that one of the keys made the signature of `meta_conf`. Without keys, every archive is
/// accepted.
///
/// # Errors
///
/// Every [`AuthenticationError`].
pub fn authenticate(
    meta_conf: &[u8],
    signature: Option<&[u8; SIGNATURE]>,
    keys: &[PublicKey],
) -> Result<(), AuthenticationError> {
    if keys.is_empty() {
        return Ok(());
    }
    let names = || {
        let names: Vec<_> = keys.iter().map(PublicKey::described).collect();
        names.join("; ")
    };
    match signature {
        None => Err(AuthenticationError::Unsigned { keys: names() }),
        Some(signature) if keys.iter().any(|key| key.verifies(meta_conf, signature)) => Ok(()),
        Some(_) => Err(AuthenticationError::Untrusted { keys: names() }),
    }
}
