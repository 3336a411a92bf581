// SPDX-License-Identifier: MIT OR Apache-2.0

//! The start of a firmware archive: everything before its resources.

use std::io::Read;

use super::authenticate::{AuthenticationError, authenticate};
use super::identity::Identity;
use super::read::{Archive, ArchiveError};
use crate::firmware::model::Firmware;
use crate::keys::{PublicKey, SIGNATURE};
use crate::language::{self, Definitions, LanguageError, META_CONF_SIZE};

/// The entry with everything except the resources' data.
pub(crate) const META_CONF: &str = "meta.conf";
/// The entry with the signature of `meta.conf`.
pub(crate) const SIGNATURE_ENTRY: &str = "meta.conf.ed25519";

/// Why a file is not a firmware archive.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ZIP archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The first entry is not `meta.conf`.
    #[error("the archive starts with {found}, expected meta.conf: this is not a firmware archive")]
    NoMetaConf {
        /// The first entry.
        found: String,
    },
    /// `meta.conf` is too short or too long.
    #[error("meta.conf has {0} bytes, expected {min} to {max}", min = META_CONF_SIZE.start(), max = META_CONF_SIZE.end())]
    Size(usize),
    /// The signature has the wrong length.
    #[error("meta.conf.ed25519 has {0} bytes, expected 64")]
    Signature(usize),
    /// The archive is not from a known key.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// `meta.conf` sets what only its hash may say.
    #[error(
        "meta.conf isn't allowed to change 'meta-uuid', 'meta-nickname', '$FWUP_META_UUID' or '$FWUP_META_NICKNAME'"
    )]
    ForgedIdentity,
    /// `meta.conf` is invalid.
    #[error(transparent)]
    Language(#[from] LanguageError),
}

/// An archive whose resources have not been read yet.
pub struct FirmwareArchive<R> {
    /// The entries that follow `meta.conf`.
    pub entries: Archive<R>,
    /// The contents of `meta.conf`.
    pub firmware: Firmware,
    /// The text of `meta.conf`, with the variables that the device resolves. Bytes that are not
    /// UTF-8 are replaced.
    pub meta_conf: String,
    /// The date of the archive, which is that of `meta.conf`, in seconds since 1970.
    pub created: Option<u32>,
    /// UUID and nickname.
    pub identity: Identity,
    /// The signature of `meta.conf`.
    pub signature: Option<[u8; SIGNATURE]>,
}

impl<R: Read> FirmwareArchive<R> {
    /// Reads the start of an archive. `definitions` has the variables of the device; the UUID and
    /// nickname of the archive are added to it.
    ///
    /// # Errors
    ///
    /// When it is not a firmware archive, or its `meta.conf` is invalid.
    pub fn read(input: R, definitions: &mut Definitions) -> Result<Self, OpenError> {
        Self::authenticated(input, &[], definitions)
    }

    /// Reads the start of an archive like [`read`](Self::read), if one of the keys signed it.
    /// Without keys, every archive is accepted. Nothing of `meta.conf` is used before its signature
    /// is verified.
    ///
    /// # Errors
    ///
    /// When it is not a firmware archive, no key signed it, or its `meta.conf` is invalid.
    pub fn authenticated(
        input: R,
        keys: &[PublicKey],
        definitions: &mut Definitions,
    ) -> Result<Self, OpenError> {
        let mut archive = Archive::new(input);
        let next = |archive: &mut Archive<R>| -> Result<(String, Option<u32>), OpenError> {
            Ok(archive.next_entry()?.map_or_else(
                || ("its end".to_owned(), None),
                |header| (header.name, header.modified),
            ))
        };
        let (mut name, mut created) = next(&mut archive)?;
        let mut signature = None;
        if name == SIGNATURE_ENTRY {
            let bytes = archive.read_all(SIGNATURE + 1)?;
            let length = bytes.len();
            signature = Some(bytes.try_into().map_err(|_| OpenError::Signature(length))?);
            (name, created) = next(&mut archive)?;
        }
        if name != META_CONF {
            return Err(OpenError::NoMetaConf {
                found: format!("{name:?}"),
            });
        }
        let meta_conf = archive.read_all(*META_CONF_SIZE.end())?;
        if !META_CONF_SIZE.contains(&meta_conf.len()) {
            return Err(OpenError::Size(meta_conf.len()));
        }
        authenticate(&meta_conf, signature.as_ref(), keys)?;
        let identity = Identity::of(&meta_conf);
        definitions.set("FWUP_META_UUID", &identity.uuid);
        definitions.set("FWUP_META_NICKNAME", &identity.nickname);
        let firmware = language::meta_conf(&meta_conf, definitions)?;
        let is_forged = [
            ("meta-uuid", "FWUP_META_UUID", &identity.uuid),
            ("meta-nickname", "FWUP_META_NICKNAME", &identity.nickname),
        ]
        .into_iter()
        .any(|(option, variable, value)| {
            let option = firmware.metadata.text(option);
            option.is_some_and(|option| option != value) || definitions.get(variable) != Some(value)
        });
        if is_forged {
            return Err(OpenError::ForgedIdentity);
        }
        Ok(Self {
            entries: archive,
            firmware,
            meta_conf: String::from_utf8_lossy(&meta_conf).into_owned(),
            created,
            identity,
            signature,
        })
    }
}
