// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::fs::File;
use std::io::Read;

use zeroize::Zeroizing;

use super::encoding::decode;
use super::error::{KeyError, KeyKind};
use super::{PRIVATE_KEY, PUBLIC_KEY};

/// The number of bytes read from a key's file. More than a key needs, so that space and a comment
/// fit.
const MOST: u64 = 4096;

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file with the key's bytes or base64.
    File(String),
    /// The key as base64.
    Text(Zeroizing<String>),
}

/// Does not show a key.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text"),
        }
    }
}

impl KeySource {
    /// Reads a key of `N` bytes.
    pub(super) fn read<const N: usize>(
        &self,
        kind: KeyKind,
    ) -> Result<Zeroizing<[u8; N]>, KeyError> {
        let mut contents = Zeroizing::new(Vec::new());
        match self {
            Self::Text(text) => contents.extend(text.as_bytes()),
            Self::File(path) => {
                // No reallocation leaves a copy of the key in memory.
                contents.reserve_exact(MOST as usize);
                File::open(path)
                    .and_then(|file| file.take(MOST).read_to_end(&mut contents))
                    .map_err(|error| KeyError::Open {
                        kind,
                        path: path.clone(),
                        error,
                    })?;
            }
        }
        decode(&contents).ok_or_else(|| KeyError::Format {
            kind,
            source_name: self.name(kind),
            found: contents.len(),
            is_other: match kind {
                KeyKind::Public => decode::<PRIVATE_KEY>(&contents).is_some(),
                KeyKind::Private => decode::<PUBLIC_KEY>(&contents).is_some(),
            },
        })
    }

    /// Returns the file or option for messages.
    pub(super) fn name(&self, kind: KeyKind) -> String {
        match self {
            Self::File(path) => format!("'{path}'"),
            Self::Text(_) => format!("the text of --{kind}-key"),
        }
    }
}
