// SPDX-License-Identifier: MIT OR Apache-2.0

//! Makes a delta archive from two full ones: the new archive, in which resources are replaced by
//! their deltas to those of the old one. `meta.conf` and its signature stay byte for byte the same,
//! so the lengths and hashes in it are those of the results, and the UUID is that of the new
//! archive.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use blake2::{Blake2b256, Digest};
use vcdiff_stream::encode::{EncodeError, EncodeOptions, encode};

use crate::archive::firmware_archive::{FirmwareArchive, META_CONF, OpenError, SIGNATURE_ENTRY};
use crate::archive::read::{Archive, ArchiveError};
use crate::archive::resource_of;
use crate::archive::write::{Level, Writer};
use crate::firmware::delta_source::{DeltaSource, DeltaSourceError};
use crate::firmware::model::{Firmware, Resource};
use crate::keys::SIGNATURE;
use crate::language::{Definitions, META_CONF_SIZE};

/// The largest resource in bytes: it is kept in memory with that of the old archive.
const LARGEST: u64 = 2 << 30;

/// Why no delta archive was made.
#[derive(Debug, thiserror::Error)]
pub enum DeltaArchiveError {
    /// An archive is not a firmware archive.
    #[error("the {which} archive: {error}")]
    Open {
        /// `old` or `new`.
        which: &'static str,
        /// The error.
        error: Box<OpenError>,
    },
    /// An archive cannot be read.
    #[error("the {which} archive: {error}")]
    Read {
        /// `old` or `new`.
        which: &'static str,
        /// The error.
        error: ArchiveError,
    },
    /// No task of the new archive can apply deltas.
    #[error(
        "no task of the new archive can apply a delta: add delta-source-raw-offset and delta-source-raw-count, or delta-source-fat-offset and delta-source-fat-path, to the on-resource of a resource without holes"
    )]
    NoSource,
    /// The `delta-source-…` options of a task are invalid.
    #[error("on-resource \"{resource}\": {error}")]
    Options {
        /// The resource.
        resource: String,
        /// The error.
        error: DeltaSourceError,
    },
    /// The data of a resource is not what `meta.conf` says.
    #[error(
        "the {which} archive: the data of file-resource '{resource}' is damaged, or a delta itself"
    )]
    Damaged {
        /// `old` or `new`.
        which: &'static str,
        /// The resource.
        resource: String,
    },
    /// A resource is too large.
    #[error("file-resource '{resource}' has {length} bytes, at most {LARGEST} are possible")]
    TooLarge {
        /// The resource.
        resource: String,
        /// Its length in bytes.
        length: u64,
    },
    /// A delta cannot be made.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Output(#[from] io::Error),
}

/// A resource of a delta archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaResource {
    /// The resource's name.
    pub name: String,
    /// The length of its data in bytes.
    pub length: u64,
    /// The length of the delta that replaces the data, in bytes; `None` if the data was kept,
    /// because the old archive does not have the resource, or the delta is not shorter.
    pub delta: Option<u64>,
}

/// Writes the delta archive of two archives to `out`. `open` opens the old and the new archive; the
/// old one is read once for each resource, so that only one is in memory. Returns the resources
/// that can be deltas.
///
/// # Errors
///
/// Every [`DeltaArchiveError`].
pub fn write_delta_archive<R: Read>(
    mut old: impl FnMut() -> io::Result<R>,
    mut new: impl FnMut() -> io::Result<R>,
    out: impl Write,
    level: Level,
) -> Result<Vec<DeltaResource>, DeltaArchiveError> {
    let firmware = read(new()?, "new")?.firmware;
    let replaced = replaceable(&firmware)?;
    if replaced.is_empty() {
        return Err(DeltaArchiveError::NoSource);
    }
    let unread = |error| DeltaArchiveError::Read {
        which: "new",
        error,
    };
    let mut archive = Archive::new(new()?);
    let mut writer = Writer::new(out, level);
    let mut resources = Vec::new();
    while let Some(header) = archive.next_entry().map_err(unread)? {
        match header.name.as_str() {
            SIGNATURE_ENTRY => {
                let signature = archive.read_all(SIGNATURE).map_err(unread)?;
                writer.stored(SIGNATURE_ENTRY, &signature)?;
                continue;
            }
            META_CONF => {
                let text = archive.read_all(*META_CONF_SIZE.end()).map_err(unread)?;
                put(&mut writer, META_CONF, header.modified, &text)?;
                continue;
            }
            _ => {}
        }
        let name = resource_of(&header.name);
        let Some(resource) = firmware.resource(&name) else {
            continue;
        };
        let data = data(&mut archive, resource, "new")?;
        if !replaced.contains(&name) {
            put(&mut writer, &header.name, None, &data)?;
            continue;
        }
        let delta = match old_data(old()?, &name)? {
            Some(source) => {
                let mut delta = Vec::new();
                encode(
                    &source,
                    &mut &data[..],
                    &mut delta,
                    EncodeOptions::default(),
                )?;
                Some(delta).filter(|delta| delta.len() < data.len())
            }
            None => None,
        };
        put(
            &mut writer,
            &header.name,
            None,
            delta.as_ref().unwrap_or(&data),
        )?;
        resources.push(DeltaResource {
            name,
            length: data.len() as u64,
            delta: delta.map(|delta| delta.len() as u64),
        });
    }
    writer.finish()?;
    Ok(resources)
}

fn read<R: Read>(input: R, which: &'static str) -> Result<FirmwareArchive<R>, DeltaArchiveError> {
    FirmwareArchive::read(input, &mut Definitions::empty()).map_err(|error| {
        DeltaArchiveError::Open {
            which,
            error: Box::new(error),
        }
    })
}

/// Returns the names of the resources that a task can make from a delta: they have no holes, and an
/// `on-resource` section names a source. Tasks without a source, such as those that make a new disk,
/// need the full archive.
fn replaceable(firmware: &Firmware) -> Result<BTreeSet<String>, DeltaArchiveError> {
    let mut names = BTreeSet::new();
    for handler in firmware.tasks.iter().flat_map(|task| &task.on_resource) {
        let resource = firmware.resource(&handler.resource);
        let has_no_holes = resource.is_some_and(Resource::has_no_holes);
        let source = DeltaSource::parse(&handler.options);
        let source = source.map_err(|error| DeltaArchiveError::Options {
            resource: handler.resource.clone(),
            error,
        })?;
        if has_no_holes && source.is_some() {
            names.insert(handler.resource.clone());
        }
    }
    Ok(names)
}

/// Reads the data of a resource from the current entry, and checks its hash.
fn data<R: Read>(
    archive: &mut Archive<R>,
    resource: &Resource,
    which: &'static str,
) -> Result<Vec<u8>, DeltaArchiveError> {
    let length = resource.data_length();
    let limit = usize::try_from(length).ok().filter(|_| length <= LARGEST);
    let limit = limit.ok_or_else(|| DeltaArchiveError::TooLarge {
        resource: resource.name.clone(),
        length,
    })?;
    let data = archive
        .read_all(limit)
        .map_err(|error| DeltaArchiveError::Read { which, error })?;
    let hash: [u8; 32] = Blake2b256::digest(&data).into();
    if resource.hash != Some(hash) {
        return Err(DeltaArchiveError::Damaged {
            which,
            resource: resource.name.clone(),
        });
    }
    Ok(data)
}

/// Returns the data of a resource of the old archive; `None` if it has no such resource.
fn old_data(input: impl Read, name: &str) -> Result<Option<Vec<u8>>, DeltaArchiveError> {
    let mut archive = read(input, "old")?;
    let Some(resource) = archive.firmware.resource(name) else {
        return Ok(None);
    };
    let unread = |error| DeltaArchiveError::Read {
        which: "old",
        error,
    };
    while let Some(header) = archive.entries.next_entry().map_err(unread)? {
        if resource_of(&header.name) == name {
            return data(&mut archive.entries, resource, "old").map(Some);
        }
    }
    Ok(None)
}

fn put<W: Write>(
    writer: &mut Writer<W>,
    name: &str,
    time: Option<u32>,
    data: &[u8],
) -> io::Result<()> {
    writer.entry(name, time, data.len() as u64, |take| take(data))
}
