// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks that the data in an archive is the data that was packed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use vcdiff_stream::HeaderFault;
use vcdiff_stream::decode::{DecodeOptions, DeltaError, check};

use super::firmware_archive::FirmwareArchive;
use super::name::resource_of;
use super::read::{Archive, ArchiveError, EntryReader};
use crate::blake2b::Hasher;
use crate::firmware::delta_source::SourceKind;
use crate::firmware::model::Resource;

/// The number of bytes read at once.
const PIECE: usize = 128 << 10;

/// Why an archive is not valid.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry that is not a resource.
    #[error("'{0}' is in the archive, but meta.conf does not declare it")]
    Unknown(String),
    /// A resource has no entry.
    #[error("file-resource '{0}' is missing from the archive")]
    Missing(String),
    /// A resource has no hash in `meta.conf`.
    #[error("meta.conf has no blake2b-256 for file-resource '{0}'")]
    NoHash(String),
    /// More or less data than declared.
    #[error("file-resource '{name}' has {found} bytes of data, meta.conf says {expected}")]
    Length {
        /// The resource.
        name: String,
        /// The length in the archive in bytes.
        found: u64,
        /// The length in `meta.conf` in bytes.
        expected: u64,
    },
    /// The data has another length than declared, and is not a delta that fwup can apply.
    #[error(
        "file-resource '{name}' has another length than meta.conf says, and is not a usable delta: {error}"
    )]
    Delta {
        /// The resource.
        name: String,
        /// The error in the delta.
        error: Box<DeltaError>,
    },
    /// The data is not the data that was packed.
    #[error("the data of file-resource '{0}' is damaged: its hash differs")]
    Hash(String),
}

/// Reads all data and compares its lengths and hashes with `meta.conf`. Returns the names of the
/// resources that are deltas: what they make is not checked, since only a device has their sources.
///
/// # Errors
///
/// Every [`VerifyError`].
pub fn verify<R: Read>(archive: &mut FirmwareArchive<R>) -> Result<Vec<String>, VerifyError> {
    let resources = archive.firmware.resources.iter();
    let mut left: BTreeMap<_, _> = resources
        .map(|resource| (resource.name.as_str(), resource))
        .collect();
    let handlers = archive
        .firmware
        .tasks
        .iter()
        .flat_map(|task| &task.on_resource);
    let sources: BTreeSet<_> = handlers
        .filter(|handler| SourceKind::of(&handler.options).is_some())
        .map(|handler| handler.resource.as_str())
        .collect();
    let mut deltas = Vec::new();
    let mut buffer = vec![0; PIECE];
    while let Some(header) = archive.entries.next_entry()? {
        let name = resource_of(&header.name);
        // The folder `data`, which the program zip adds as an entry.
        if name.is_empty() {
            continue;
        }
        let resource = left
            .remove(name.as_str())
            .ok_or_else(|| VerifyError::Unknown(header.name.clone()))?;
        let Some(expected) = resource.hash else {
            return Err(VerifyError::NoHash(name));
        };
        // A delta can be verified only as far as its first window: the rest depends on its source.
        let has_source = sources.contains(name.as_str());
        if let Some(size) = header
            .size
            .filter(|size| has_source && resource.may_be_delta(*size))
        {
            check_delta(&mut archive.entries, resource, size)?;
            deltas.push(name);
            continue;
        }
        let mut found = 0;
        let mut hash = Hasher::new();
        loop {
            let length = archive.entries.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            hash.update(&buffer[..length]);
            found += length as u64;
        }
        if found != resource.data_length() {
            return Err(VerifyError::Length {
                name,
                found,
                expected: resource.data_length(),
            });
        }
        if hash.finalize() != expected {
            return Err(VerifyError::Hash(name));
        }
    }
    match left.first_key_value() {
        Some((name, _)) => Err(VerifyError::Missing((*name).to_owned())),
        None => Ok(deltas),
    }
}

/// Checks the start of a delta of `size` bytes, and reads it to the end, so that its checksum is
/// verified.
fn check_delta<R: Read>(
    archive: &mut Archive<R>,
    resource: &Resource,
    size: u64,
) -> Result<(), VerifyError> {
    let checked = check(&mut EntryReader(archive), DecodeOptions::default());
    checked.map_err(|error| match error {
        // Plain data.
        DeltaError::Header(HeaderFault::Magic(_)) => VerifyError::Length {
            name: resource.name.clone(),
            found: size,
            expected: resource.data_length(),
        },
        error => VerifyError::Delta {
            name: resource.name.clone(),
            error: Box::new(error),
        },
    })?;
    let mut buffer = vec![0; PIECE];
    while archive.read(&mut buffer)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::write::{Level, Writer};
    use super::*;
    use crate::blake2b;
    use crate::hex;
    use crate::language::Definitions;

    fn verified(entries: &[(&str, &str)]) -> Result<(), String> {
        let hash = hex::encode(&blake2b::hash(b"hello"));
        let meta_conf = format!(
            "file-resource \"a\" {{\nlength=5\nblake2b-256={hash}\n}}\nfile-resource \"/b\" {{\nlength=5\nblake2b-256={hash}\n}}\n"
        );
        verified_with(&meta_conf, entries)
    }

    fn verified_with(meta_conf: &str, entries: &[(&str, &str)]) -> Result<(), String> {
        let mut writer = Writer::new(Vec::new(), Level::default());
        for (name, data) in [("meta.conf", meta_conf)].iter().chain(entries) {
            writer
                .entry::<std::io::Error>(name, None, data.len() as u64, |take| {
                    take(data.as_bytes())
                })
                .unwrap();
        }
        let bytes = writer.finish().unwrap();
        let mut archive = FirmwareArchive::read(&bytes[..], &mut Definitions::empty()).unwrap();
        let deltas = verify(&mut archive).map_err(|error| error.to_string())?;
        assert_eq!(deltas, [""; 0]);
        Ok(())
    }

    #[test]
    fn changed_data_is_found() {
        assert_eq!(verified(&[("data/a", "hello"), ("b", "hello")]), Ok(()));
        let with_folder = [("data/", ""), ("data/a", "hello"), ("b", "hello")];
        assert_eq!(verified(&with_folder), Ok(()));
        for (entries, expected) in [
            (
                &[("data/a", "hello"), ("b", "hallo")][..],
                "the data of file-resource '/b' is damaged: its hash differs",
            ),
            (
                &[("data/a", "hello"), ("b", "hell")],
                "file-resource '/b' has 4 bytes of data, meta.conf says 5",
            ),
            (
                &[("data/a", "hello")],
                "file-resource '/b' is missing from the archive",
            ),
            (
                &[("data/a", "hello"), ("data/c", "x")],
                "'data/c' is in the archive, but meta.conf does not declare it",
            ),
            (
                &[("data/a", "hello"), ("data/a", "hello")],
                "'data/a' is in the archive, but meta.conf does not declare it",
            ),
        ] {
            assert_eq!(verified(entries), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_resource_without_a_hash_is_not_valid() {
        for resource in ["file-resource \"a\" {\nlength=5\n}\n", "file-resource a {}"] {
            assert_eq!(
                verified_with(resource, &[("data/a", "hello")]),
                Err("meta.conf has no blake2b-256 for file-resource 'a'".to_owned())
            );
        }
    }
}
