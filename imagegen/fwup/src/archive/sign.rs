// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signs an archive that exists.

use std::io::{self, Read, Seek, Write};

use super::firmware_archive::{META_CONF, SIGNATURE_ENTRY};
use super::read::{Archive, ArchiveError};
use super::write::{Level, Writer};
use crate::keys::PrivateKey;
use crate::language::META_CONF_SIZE;

/// The number of bytes copied at once.
const PIECE: usize = 128 << 10;
/// The largest entry without a size in its header that is kept in memory, in bytes. A larger one
/// goes to a temporary file, because its size must be written before its data.
const KEPT: usize = 1 << 20;

/// Why an archive cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive does not start with `meta.conf`.
    #[error("the archive starts with {0}, expected meta.conf: this is not a firmware archive")]
    NotFirst(String),
    /// A second `meta.conf`, which would not be signed.
    #[error("the archive has more than one meta.conf")]
    Second,
    /// `meta.conf` is too short or too long.
    #[error("meta.conf has {0} bytes, expected {min} to {max}", min = META_CONF_SIZE.start(), max = META_CONF_SIZE.end())]
    MetaConfSize(usize),
    /// The signed archive cannot be written.
    #[error("cannot write the archive")]
    Output(#[from] io::Error),
}

/// Copies an archive with a new signature, which replaces one that is there. `date` is the date of
/// the new archive, in seconds since 1970. The resources are deflated again.
///
/// # Errors
///
/// Every [`SignError`].
pub fn sign(
    input: impl Read,
    out: impl Write,
    key: &PrivateKey,
    level: Level,
    date: u32,
) -> Result<(), SignError> {
    let mut archive = Archive::new(input);
    let mut writer = Writer::new(out, level);
    let mut is_signed = false;
    while let Some(header) = archive.next_entry()? {
        match (header.name.as_str(), is_signed) {
            (SIGNATURE_ENTRY, _) => {}
            (META_CONF, true) => return Err(SignError::Second),
            (META_CONF, false) => {
                let meta_conf = archive.read_all(*META_CONF_SIZE.end())?;
                if !META_CONF_SIZE.contains(&meta_conf.len()) {
                    return Err(SignError::MetaConfSize(meta_conf.len()));
                }
                add_meta_conf(&mut writer, &meta_conf, Some(key), date)?;
                is_signed = true;
            }
            (name, false) => return Err(SignError::NotFirst(format!("{name:?}"))),
            (name, true) => match header.size {
                Some(size) => copy(&mut archive, &mut writer, name, size)?,
                None => copy_unsized(&mut archive, &mut writer, name)?,
            },
        }
    }
    if !is_signed {
        return Err(SignError::NotFirst("its end".to_owned()));
    }
    writer.finish()?;
    Ok(())
}

/// Writes `meta.conf`, with a key after its signature.
pub(crate) fn add_meta_conf<W: Write>(
    writer: &mut Writer<W>,
    meta_conf: &[u8],
    key: Option<&PrivateKey>,
    date: u32,
) -> io::Result<()> {
    if let Some(key) = key {
        writer.stored(SIGNATURE_ENTRY, &key.sign(meta_conf))?;
    }
    let length = meta_conf.len() as u64;
    writer.entry(META_CONF, Some(date), length, |take| take(meta_conf))
}

fn copy<R: Read, W: Write>(
    archive: &mut Archive<R>,
    writer: &mut Writer<W>,
    name: &str,
    size: u64,
) -> Result<(), SignError> {
    let mut piece = vec![0; PIECE];
    writer.entry(name, None, size, |take| {
        loop {
            let length = archive.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            take(&piece[..length])?;
        }
    })
}

fn copy_unsized<R: Read, W: Write>(
    archive: &mut Archive<R>,
    writer: &mut Writer<W>,
    name: &str,
) -> Result<(), SignError> {
    let mut piece = vec![0; PIECE];
    let mut kept = tempfile::spooled_tempfile(KEPT);
    let mut size = 0;
    loop {
        let length = archive.read(&mut piece)?;
        if length == 0 {
            break;
        }
        kept.write_all(&piece[..length])?;
        size += length as u64;
    }
    kept.rewind()?;
    writer.entry(name, None, size, |take| {
        loop {
            let length = kept.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            take(&piece[..length])?;
        }
    })
}
