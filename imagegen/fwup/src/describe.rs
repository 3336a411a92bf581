// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an archive says about itself, and whether its data is what it says.

use std::collections::BTreeMap;
use std::io::Read;

use blake2::{Blake2b256, Digest};

use super::archive::read::ArchiveError;
use super::archive::resource_of;
use super::date;
use super::model;
use super::opened::Opened;

/// How much is read at once, in bytes.
const PIECE: usize = 128 << 10;

/// The metadata that is shown, in this order.
const KEYS: [&str; 11] = [
    "meta-product",
    "meta-description",
    "meta-version",
    "meta-author",
    "meta-platform",
    "meta-architecture",
    "meta-creation-date",
    "meta-misc",
    "meta-vcs-identifier",
    "meta-uuid",
    "meta-nickname",
];

/// The metadata of an archive, by name, in the order in which it is shown. What is not set is left out.
#[must_use]
pub fn metadata<R>(opened: &Opened<R>) -> Vec<(&'static str, String)> {
    let value = |key: &str| {
        let said = model::option(&opened.firmware.metadata, key);
        match key {
            "meta-uuid" => Some(opened.identity.uuid.clone()),
            "meta-nickname" => Some(opened.identity.nickname.clone()),
            // Old archives say it themselves.
            "meta-creation-date" if said.is_none() => {
                Some(date::timestamp(opened.created.unwrap_or(0)))
            }
            _ => said.map(str::to_owned),
        }
    };
    KEYS.iter()
        .filter_map(|key| Some((*key, value(key).filter(|value| !value.is_empty())?)))
        .collect()
}

/// The names of the tasks, in alphabetical order.
#[must_use]
pub fn tasks<R>(opened: &Opened<R>) -> Vec<&str> {
    let mut names: Vec<_> = opened
        .firmware
        .tasks
        .iter()
        .map(|task| task.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// Why an archive is not what it says.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something is in it of which `meta.conf` says nothing.
    #[error("'{0}' is in the archive, but is no resource in its meta.conf")]
    Unknown(String),
    /// Something is missing.
    #[error("file-resource '{0}' is missing in the archive")]
    Missing(String),
    /// Nothing tells what its data should be.
    #[error("meta.conf has no blake2b-256 for file-resource '{0}'")]
    NoHash(String),
    /// More or less data than declared.
    #[error("file-resource '{name}' has {found} bytes of data, meta.conf says {expected}")]
    Length {
        /// Its name.
        name: String,
        /// What the archive has.
        found: u64,
        /// What `meta.conf` says.
        expected: u64,
    },
    /// Data is not what was packed.
    #[error("the data of file-resource '{0}' is damaged: its hash differs")]
    Hash(String),
}

/// Reads all data, and compares its lengths and hashes with those in `meta.conf`.
///
/// # Errors
///
/// Every [`VerifyError`].
pub fn verify<R: Read>(opened: &mut Opened<R>) -> Result<(), VerifyError> {
    let resources = opened.firmware.resources.iter();
    let mut left: BTreeMap<_, _> = resources
        .map(|resource| (resource.name.as_str(), resource))
        .collect();
    let mut buffer = vec![0; PIECE];
    while let Some(header) = opened.archive.next_entry()? {
        let name = resource_of(&header.name);
        // The folder itself, which the program zip adds.
        if name.is_empty() {
            continue;
        }
        let resource = left
            .remove(name.as_str())
            .ok_or(VerifyError::Unknown(header.name))?;
        let Some(expected) = resource.hash else {
            return Err(VerifyError::NoHash(name));
        };
        let mut found = 0;
        let mut hash = Blake2b256::new();
        loop {
            let length = opened.archive.read(&mut buffer)?;
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
        if hash.finalize()[..] != expected {
            return Err(VerifyError::Hash(name));
        }
    }
    match left.first_key_value() {
        Some((name, _)) => Err(VerifyError::Missing((*name).to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::archive::write::{Level, Writer};
    use super::super::language::Environment;
    use super::*;

    fn verified(entries: &[(&str, &str)]) -> Result<(), String> {
        let hash = super::super::hex(&Blake2b256::digest("hello"));
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
        let mut opened = Opened::read(&bytes[..], &mut Environment::empty()).unwrap();
        verify(&mut opened).map_err(|error| error.to_string())
    }

    #[test]
    fn data_that_is_not_what_was_packed_is_noticed() {
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
                "file-resource '/b' is missing in the archive",
            ),
            (
                &[("data/a", "hello"), ("data/c", "x")],
                "'data/c' is in the archive, but is no resource in its meta.conf",
            ),
            (
                &[("data/a", "hello"), ("data/a", "hello")],
                "'data/a' is in the archive, but is no resource in its meta.conf",
            ),
        ] {
            assert_eq!(verified(entries), Err(expected.to_owned()));
        }
    }
    #[test]
    fn what_has_no_hash_is_not_valid() {
        for resource in ["file-resource \"a\" {\nlength=5\n}\n", "file-resource a {}"] {
            assert_eq!(
                verified_with(resource, &[("data/a", "hello")]),
                Err("meta.conf has no blake2b-256 for file-resource 'a'".to_owned())
            );
        }
    }
}
