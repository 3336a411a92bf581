// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ed25519 keys (RFC 8032) that sign archives and authenticate them.
//!
//! A public key has 32 bytes. A private key has 64: the seed of RFC 8032, then the public key. Key
//! files contain these bytes, or their base64.

mod encoding;
mod error;
mod generate;
mod private_key;
mod public_key;
mod source;

pub use encoding::decode;
pub(crate) use encoding::from_base64;
pub use error::{KeyError, KeyKind};
pub use generate::{GenerateError, SavedPair, generate};
pub use private_key::PrivateKey;
pub use public_key::PublicKey;
pub use source::KeySource;

/// The length of a signature in bytes.
pub const SIGNATURE: usize = 64;
/// The length of a public key in bytes.
pub const PUBLIC_KEY: usize = 32;
/// The length of a private key in bytes.
pub const PRIVATE_KEY: usize = 64;
