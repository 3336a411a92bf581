// SPDX-License-Identifier: MIT OR Apache-2.0

//! The numbers of block devices in the form `major:minor`, as in `/sys` and mountinfo.

use std::fs;
use std::path::Path;

/// Formats a device number as `major:minor`.
pub(crate) fn device_number(device: u64) -> String {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    format!("{major}:{minor}")
}

/// Returns the numbers of a disk and of its partitions; `disk` is the disk's folder in `/sys`.
pub(crate) fn disk_numbers(disk: &Path) -> Vec<String> {
    let partitions = fs::read_dir(disk).into_iter().flatten().flatten();
    let partitions = partitions
        .map(|entry| entry.path())
        .filter(|path| path.join("partition").exists());
    std::iter::once(disk.to_path_buf())
        .chain(partitions)
        .filter_map(|path| line(&path.join("dev")))
        .collect()
}

/// Reads a one-line file without its line feed.
pub(crate) fn line(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
