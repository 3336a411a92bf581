// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::io;

use super::{PRIVATE_KEY, PUBLIC_KEY};

/// The half of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Authenticates archives.
    Public,
    /// Signs archives.
    Private,
}

impl KeyKind {
    /// Returns the length in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Public => PUBLIC_KEY,
            Self::Private => PRIVATE_KEY,
        }
    }

    /// Returns the advice for somebody who gave a key of the other kind.
    fn other(self) -> &'static str {
        match self {
            Self::Public => "this is a private key: keep it secret, and use the .pub file here",
            Self::Private => "this is a public key: use the .priv file here",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
        })
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key's file cannot be read.
    #[error("Error opening {kind} key file '{path}': {error}")]
    Open {
        /// The expected kind of key.
        kind: KeyKind,
        /// The file.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// The file or text is not a key.
    #[error(
        "{source_name} is not a {kind} key: found {found} bytes, expected {} bytes or their base64; {}",
        kind.length(),
        if *is_other { kind.other() } else { "fwup -g makes keys" }
    )]
    Format {
        /// The expected kind of key.
        kind: KeyKind,
        /// The file or option.
        source_name: String,
        /// The length of the file or text in bytes, or a limit if it is longer.
        found: usize,
        /// Whether it is a key of the other kind.
        is_other: bool,
    },
}
