// SPDX-License-Identifier: MIT OR Apache-2.0

//! The numbers of block devices, as `major:minor`, which is how `/sys` and mountinfo write them.

use std::fs;
use std::path::Path;

/// A device's number.
pub(crate) fn device_number(device: u64) -> String {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    format!("{major}:{minor}")
}

/// The numbers of a disk and of its partitions; `disk` is the disk's folder in `/sys`.
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

/// The contents of a file of one line.
pub(crate) fn line(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
