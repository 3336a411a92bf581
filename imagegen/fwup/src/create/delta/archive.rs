// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};

use vcdiff_stream::encode::{EncodeOptions, encode};

use super::error::DeltaArchiveError;
use super::replaceable::{FullTask, first_run, full_tasks, replaceable};
use super::resource_reader::{ResourceReader, Tee};
use crate::archive::firmware_archive::{FirmwareArchive, META_CONF, SIGNATURE_ENTRY};
use crate::archive::packed::{Packed, Packer};
use crate::archive::read::Archive;
use crate::archive::resource_of;
use crate::archive::write::{Level, Writer};
use crate::firmware::model::Resource;
use crate::keys::SIGNATURE;
use crate::language::{Definitions, META_CONF_SIZE};

/// The number of bytes that are read at once.
const PIECE: usize = 128 << 10;

/// What a delta archive contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaArchive {
    /// The resources that a task can make from a delta.
    pub resources: Vec<DeltaResource>,
    /// The tasks that need the full archive.
    pub full_tasks: Vec<FullTask>,
}

/// A resource of a delta archive that a task can make from a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaResource {
    /// The resource's name.
    pub name: String,
    /// The length of its data in bytes.
    pub length: u64,
    /// What the archive has of it.
    pub outcome: DeltaOutcome,
}

/// What a delta archive has of a resource. `packed` is a length in the archive in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaOutcome {
    /// A delta.
    Delta {
        /// The length of the delta in bytes.
        length: u64,
        /// The length of the delta in the archive.
        packed: u64,
        /// The length that the data would have in the archive.
        packed_data: u64,
    },
    /// The data, because the delta would take no less of the archive.
    NotSmaller {
        /// The length that the delta would have in the archive.
        packed: u64,
        /// The length of the data in the archive.
        packed_data: u64,
    },
    /// The data, because the old archive does not have the resource.
    NotInOld,
}

/// Writes the delta archive of two archives to `out`. `old` and `new` open them; the old one is
/// read once for each resource.
///
/// A delta copies only from what every task that has a source for the resource can read. Of each
/// old resource, at most 2 GiB are used, which are in memory; the new data is not.
///
/// # Errors
///
/// Every [`DeltaArchiveError`].
pub fn write_delta_archive<R: Read>(
    mut old: impl FnMut() -> io::Result<R>,
    mut new: impl FnMut() -> io::Result<R>,
    out: impl Write,
    level: Level,
) -> Result<DeltaArchive, DeltaArchiveError> {
    let file = |which| move |error| DeltaArchiveError::File { which, error };
    let firmware = read(new().map_err(file("new"))?, "new")?.firmware;
    let replaced = replaceable(&firmware);
    if replaced.is_empty() {
        return Err(DeltaArchiveError::NoSource);
    }
    let unread = |error| DeltaArchiveError::Read {
        which: "new",
        error,
    };
    let mut archive = Archive::new(new().map_err(file("new"))?);
    let mut writer = Writer::new(BufWriter::new(out), level);
    let mut resources = Vec::new();
    let mut missing: BTreeSet<_> = firmware
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect();
    while let Some(header) = archive.next_entry().map_err(unread)? {
        match header.name.as_str() {
            SIGNATURE_ENTRY => {
                let signature = archive.read_all(SIGNATURE).map_err(unread)?;
                writer.stored(SIGNATURE_ENTRY, &signature)?;
                continue;
            }
            META_CONF => {
                let text = archive.read_all(*META_CONF_SIZE.end()).map_err(unread)?;
                let size = text.len() as u64;
                writer.entry::<io::Error>(META_CONF, header.modified, size, |take| take(&text))?;
                continue;
            }
            _ => {}
        }
        let name = resource_of(&header.name);
        let Some(resource) = firmware.resource(&name) else {
            continue;
        };
        if !missing.remove(name.as_str()) {
            return Err(DeltaArchiveError::Twice(name));
        }
        let data = ResourceReader::new(&mut archive, resource, "new");
        let Some(readable) = replaced.get(name.as_str()) else {
            keep(&mut writer, &header.name, resource, data)?;
            continue;
        };
        let outcome = match old_data(old().map_err(file("old"))?, &name, *readable)? {
            Some(source) => {
                let (delta, data) = pack(&source, data, level)?;
                let (packed, packed_data) = (delta.length, data.length);
                if resource.may_be_delta(delta.size) && packed < packed_data {
                    let length = delta.size;
                    writer.packed(&header.name, delta)?;
                    DeltaOutcome::Delta {
                        length,
                        packed,
                        packed_data,
                    }
                } else {
                    writer.packed(&header.name, data)?;
                    DeltaOutcome::NotSmaller {
                        packed,
                        packed_data,
                    }
                }
            }
            None => {
                keep(&mut writer, &header.name, resource, data)?;
                DeltaOutcome::NotInOld
            }
        };
        resources.push(DeltaResource {
            name,
            length: resource.data_length(),
            outcome,
        });
    }
    if let Some(name) = missing.first() {
        return Err(DeltaArchiveError::Missing((*name).to_owned()));
    }
    writer.finish()?;
    let deltas = resources
        .iter()
        .filter(|resource| matches!(resource.outcome, DeltaOutcome::Delta { .. }))
        .map(|resource| resource.name.as_str())
        .collect();
    let full_tasks = full_tasks(&firmware, &deltas);
    Ok(DeltaArchive {
        resources,
        full_tasks,
    })
}

fn read<R: Read>(input: R, which: &'static str) -> Result<FirmwareArchive<R>, DeltaArchiveError> {
    FirmwareArchive::read(input, &mut Definitions::empty()).map_err(|error| {
        DeltaArchiveError::Open {
            which,
            error: Box::new(error),
        }
    })
}

/// Deflates the delta that makes `data` from `source`, and the data itself.
fn pack<R: Read>(
    source: &[u8],
    data: ResourceReader<'_, R>,
    level: Level,
) -> Result<(Packed, Packed), DeltaArchiveError> {
    let mut delta = Packer::new(level);
    let mut data = Tee {
        input: data,
        copy: Packer::new(level),
    };
    encode(source, &mut data, &mut delta, EncodeOptions::default())?;
    let finish = |packer: Packer| packer.finish().map_err(DeltaArchiveError::Temporary);
    Ok((finish(delta)?, finish(data.copy)?))
}

/// Adds the data of a resource unchanged.
fn keep<R: Read>(
    writer: &mut Writer<impl Write>,
    entry: &str,
    resource: &Resource,
    mut data: ResourceReader<'_, R>,
) -> Result<(), DeltaArchiveError> {
    writer.entry(entry, None, resource.data_length(), |take| {
        let mut piece = vec![0; PIECE];
        loop {
            match data.read(&mut piece)? {
                0 => return Ok(()),
                length => take(&piece[..length])?,
            }
        }
    })
}

/// Returns the first bytes of a resource of the old archive, at most `readable` and up to its first
/// hole; `None` if the archive has no such resource. All of it is checked.
fn old_data(
    input: impl Read,
    name: &str,
    readable: usize,
) -> Result<Option<Vec<u8>>, DeltaArchiveError> {
    let mut archive = read(input, "old")?;
    let Some(resource) = archive.firmware.resource(name) else {
        return Ok(None);
    };
    let readable = readable.min(first_run(resource));
    let unread = |error| DeltaArchiveError::Read {
        which: "old",
        error,
    };
    while let Some(header) = archive.entries.next_entry().map_err(unread)? {
        if resource_of(&header.name) != name {
            continue;
        }
        let mut data = ResourceReader::new(&mut archive.entries, resource, "old");
        let (mut start, mut piece) = (Vec::new(), vec![0; PIECE]);
        loop {
            match data.read(&mut piece)? {
                0 => return Ok(Some(start)),
                length => {
                    let length = length.min(readable - start.len());
                    start.extend_from_slice(&piece[..length]);
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blake2b;
    use crate::hex;

    /// An archive with these resources, all of which contain `hello`.
    fn archive(names: &[&str]) -> Vec<u8> {
        let hash = hex::encode(&blake2b::hash(b"hello"));
        let meta_conf = format!(
            "file-resource \"a\" {{\nlength=5\nblake2b-256={hash}\n}}\ntask t {{\non-resource a {{\ndelta-source-raw-offset=0\nfunlist={{\"2\", \"raw_write\", \"0\"}}\n}}\n}}\n"
        );
        let mut writer = Writer::new(Vec::new(), Level::default());
        let mut put = |name: &str, data: &[u8]| {
            let size = data.len() as u64;
            let added = writer.entry::<io::Error>(name, None, size, |take| take(data));
            added.unwrap();
        };
        put(META_CONF, meta_conf.as_bytes());
        for name in names {
            put(name, b"hello");
        }
        writer.finish().unwrap()
    }

    fn error(old: Result<&[&str], io::ErrorKind>, new: &[&str]) -> String {
        let old = || {
            old.map(|old| io::Cursor::new(archive(old)))
                .map_err(io::Error::from)
        };
        let new = || Ok(io::Cursor::new(archive(new)));
        let made = write_delta_archive(old, new, io::sink(), Level::default());
        made.unwrap_err().to_string()
    }

    #[test]
    fn each_resource_must_be_there_once() {
        assert_eq!(
            error(Ok(&["data/a"]), &[]),
            "the new archive has no data of file-resource 'a'; make it again, or copy it again"
        );
        assert_eq!(
            error(Ok(&["data/a"]), &["data/a", "data/a"]),
            "the new archive has data of file-resource 'a' twice; make it again"
        );
    }

    #[test]
    fn an_archive_that_cannot_be_opened_is_named() {
        assert_eq!(
            error(Err(io::ErrorKind::PermissionDenied), &["data/a"]),
            "the old archive cannot be opened: permission denied"
        );
    }
}
