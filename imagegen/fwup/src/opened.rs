// SPDX-License-Identifier: MIT OR Apache-2.0

//! An archive of which the start was read: what it is, before its resources.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::apply::{Applied, ApplyError, Observer, apply};
use super::archive::read::{Archive, ArchiveError};
use super::destination::{OpenDestinationError, Writing};
use super::device::Storage;
use super::identity::Identity;
use super::language::{self, Environment, LanguageError};
use super::meta;
use super::model::Firmware;

/// The bytes of a signature.
const SIGNATURE: usize = 64;

/// Why an archive is none of firmware.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something else comes first.
    #[error("the archive starts with {found}, expected meta.conf: this is no firmware archive")]
    NoMetaConf {
        /// What comes instead.
        found: String,
    },
    /// The file is too short or too long.
    #[error("meta.conf has {0} bytes, expected {min} to {max}", min = meta::SIZE.start(), max = meta::SIZE.end())]
    Size(usize),
    /// The signature is none.
    #[error("meta.conf.ed25519 has {0} bytes, expected 64")]
    Signature(usize),
    /// What it says.
    #[error(transparent)]
    Language(#[from] LanguageError),
}

/// An archive whose resources are still to be read.
pub struct Opened<R> {
    /// The rest of it.
    pub archive: Archive<R>,
    /// What `meta.conf` says.
    pub firmware: Firmware,
    /// When it was made, in seconds since 1970.
    pub created: Option<u32>,
    /// Its names.
    pub identity: Identity,
    /// The signature of `meta.conf`.
    pub signature: Option<[u8; SIGNATURE]>,
}

impl<R: Read> Opened<R> {
    /// Reads the start of an archive. The variables of `environment` are put in, and those of the archive's identity.
    ///
    /// # Errors
    ///
    /// When it is no firmware archive, or its `meta.conf` is wrong.
    pub fn read(input: R, environment: &mut Environment) -> Result<Self, OpenError> {
        let mut archive = Archive::new(input);
        let next = |archive: &mut Archive<R>| -> Result<(String, Option<u32>), OpenError> {
            Ok(archive.next_entry()?.map_or_else(
                || ("its end".to_owned(), None),
                |header| (header.name, header.modified),
            ))
        };
        let (mut name, mut created) = next(&mut archive)?;
        let mut signature = None;
        if name == "meta.conf.ed25519" {
            let bytes = archive.read_all(SIGNATURE + 1)?;
            let length = bytes.len();
            signature = Some(bytes.try_into().map_err(|_| OpenError::Signature(length))?);
            (name, created) = next(&mut archive)?;
        }
        if name != "meta.conf" {
            return Err(OpenError::NoMetaConf {
                found: format!("{name:?}"),
            });
        }
        let meta_conf = archive.read_all(*meta::SIZE.end())?;
        if !meta::SIZE.contains(&meta_conf.len()) {
            return Err(OpenError::Size(meta_conf.len()));
        }
        let identity = Identity::of(&meta_conf);
        environment.set("FWUP_META_UUID", &identity.uuid);
        environment.set("FWUP_META_NICKNAME", &identity.nickname);
        let firmware = language::meta_conf(&meta_conf, environment)?;
        Ok(Self {
            archive,
            firmware,
            created,
            identity,
            signature,
        })
    }
}

/// Why an archive was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFileError {
    /// It is none.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The destination cannot be opened.
    #[error(transparent)]
    Destination(#[from] OpenDestinationError),
    /// The task failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Applies an archive to an image or a device. A missing image is made; one that stays empty because of an error is not left
/// behind.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, or the task fails.
pub fn apply_to(
    input: impl Read,
    destination: &Path,
    task: &str,
    environment: &mut Environment,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    let writing = &Writing::default();
    apply_with(input, destination, task, environment, writing, observer)
}

/// Applies an archive like [`apply_to`], to a destination that is written to in another way.
///
/// # Errors
///
/// When the archive or the destination cannot be opened, or the task fails.
pub fn apply_with(
    input: impl Read,
    destination: &Path,
    task: &str,
    environment: &mut Environment,
    writing: &Writing,
    observer: &mut dyn Observer,
) -> Result<Applied, ApplyFileError> {
    let mut opened = Opened::read(input, environment)?;
    opened.firmware.is_unsafe = writing.is_unsafe;
    let is_new = !destination.exists();
    let mut device = writing.open(destination, observer)?;
    let result = apply(
        &mut opened.archive,
        &opened.firmware,
        task,
        &mut device,
        observer,
    );
    if let Some(error) = device.undiscarded() {
        // What is trimmed does not matter, so it does no harm where it is.
        observer.info(&format!("the disk was not told what is trimmed: {error}"));
    }
    if result.is_err() && is_new && device.into_storage().length() == 0 {
        // The error before this one is the one to tell.
        let _ = fs::remove_file(destination);
    }
    Ok(result?)
}
