// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Debian archives to download from.

use std::env;
use std::path::Path;

use super::sources::{self, Source};

/// The Debian archives to download from.
#[derive(Clone, Debug)]
pub struct Mirrors {
    sources: Vec<Source>,
}

impl Mirrors {
    /// Uses only `sources`.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources }
    }

    /// Uses `LITTLE_LOADER_DEBIAN_MIRROR` if set (only a URL, of an archive signed by a key that
    /// apt trusts), else the Debian archives among the sources of the system's apt.
    #[must_use]
    pub fn of_system() -> Self {
        if let Ok(uri) = env::var("LITTLE_LOADER_DEBIAN_MIRROR") {
            let components = vec!["main".to_owned()];
            let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
            let signed_by = Path::new(keyring).is_file().then(|| keyring.to_owned());
            return Self {
                sources: vec![Source {
                    signed_by,
                    uri,
                    suite: "stable".to_owned(),
                    components,
                }],
            };
        }
        let mut sources = sources::read(Path::new("/etc/apt"));
        sources.retain(Source::is_debian);
        Self { sources }
    }

    /// Returns the main archive: the first one that is not a security archive.
    #[must_use]
    pub fn debian(&self) -> Option<&Source> {
        self.sources.iter().find(|source| !source.is_security())
    }

    /// Returns all sources, including security archives.
    #[must_use]
    pub fn all(&self) -> &[Source] {
        &self.sources
    }
}
