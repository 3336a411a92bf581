// SPDX-License-Identifier: MIT OR Apache-2.0

//! An archive's metadata and the names of its tasks.

use super::date;
use super::firmware_archive::FirmwareArchive;
use crate::firmware::model::Value;

/// The keys in the order of output.
const KEYS: [&str; 12] = [
    "meta-product",
    "meta-description",
    "meta-version",
    "meta-author",
    "meta-platform",
    "meta-architecture",
    "meta-creation-date",
    "meta-fwup-version",
    "meta-misc",
    "meta-vcs-identifier",
    "meta-uuid",
    "meta-nickname",
];

/// Returns the metadata that is set, in the order of output.
#[must_use]
pub fn metadata<R>(archive: &FirmwareArchive<R>) -> Vec<(&'static str, String)> {
    let value = |key: &str| {
        let set = archive.firmware.metadata.get(key);
        match key {
            "meta-uuid" => Some(archive.identity.uuid.clone()),
            "meta-nickname" => Some(archive.identity.nickname.clone()),
            // Old archives have the date in meta.conf.
            "meta-creation-date" if set.is_none() => {
                Some(date::timestamp(archive.created.unwrap_or(0)))
            }
            _ => set.map(Value::to_string),
        }
    };
    KEYS.iter()
        .filter_map(|key| Some((*key, value(key).filter(|value| !value.is_empty())?)))
        .collect()
}

/// Returns the names of the tasks in alphabetical order.
#[must_use]
pub fn tasks<R>(archive: &FirmwareArchive<R>) -> Vec<&str> {
    let mut names: Vec<_> = archive
        .firmware
        .tasks
        .iter()
        .map(|task| task.name.as_str())
        .collect();
    names.sort_unstable();
    names
}
