// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that can go wrong.

use std::io;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed or ended.
    #[error("cannot access the disk at offset {offset}; does the volume end before the disk does?")]
    Disk {
        /// In bytes from the start of the disk.
        offset: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// A start that no disk reaches.
    #[error("block offset {blocks} is beyond the largest disk; expected less than 2^54")]
    Offset {
        /// The offset that was given.
        blocks: u64,
    },
    /// A size that FAT cannot have.
    #[error(
        "no FAT file system of {blocks} blocks with clusters of 512 bytes is possible; expected \
         128 to 4085, 4153 to 66076, or 66600 to 268435445 blocks"
    )]
    Size {
        /// The size that was given.
        blocks: u64,
    },
    /// The volume cannot be mounted.
    #[error("no FAT file system found: {reason}; make one with fat_mkfs first")]
    NoFileSystem {
        /// The first field that is not as FAT requires.
        reason: &'static str,
    },
    /// A damaged volume.
    #[error("the FAT file system is damaged: {found} (cluster {cluster}); check it with fsck.fat")]
    Damaged {
        /// What is wrong.
        found: &'static str,
        /// Where: the number of the cluster whose entry or use is wrong.
        cluster: u32,
    },
    /// The last part of the path does not exist.
    #[error("{path}: file not found")]
    NotFound {
        /// The path that was given.
        path: String,
    },
    /// A directory in the path does not exist.
    #[error("{path}: a directory of this path does not exist; create it with fat_mkdir first")]
    NoDirectory {
        /// The path that was given.
        path: String,
    },
    /// A path that FAT cannot store.
    #[error("{path:?} is not a valid path: {reason}")]
    InvalidPath {
        /// The path that was given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A label that FAT cannot store.
    #[error("{label:?} is not a valid label: {reason}")]
    InvalidLabel {
        /// The label that was given.
        label: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A letter that does not name an attribute.
    #[error("{letter:?} is not an attribute; expected R, H, or S")]
    InvalidAttribute {
        /// The letter that was found.
        letter: char,
    },
    /// A name that is already in use.
    #[error("{path} already exists")]
    Exists {
        /// The path that was given.
        path: String,
    },
    /// A file that must not be changed.
    #[error("{path} is read-only; clear its attribute R with fat_attrib first")]
    ReadOnly {
        /// The path that was given.
        path: String,
    },
    /// A directory in place of a file.
    #[error("{path} is a directory; expected a file")]
    IsDirectory {
        /// The path that was given.
        path: String,
    },
    /// A directory that cannot be removed.
    #[error("{path} is a directory with files; remove them first")]
    NotEmpty {
        /// The path that was given.
        path: String,
    },
    /// A directory cannot be moved into itself.
    #[error("{path} is below the directory that is to be moved there")]
    InsideItself {
        /// The destination that was given.
        path: String,
    },
    /// No cluster is free.
    #[error("the FAT file system is full")]
    Full,
    /// A directory has no room for another name.
    #[error("the directory is full, or has 99 similar names; use a subdirectory or another name")]
    DirectoryFull,
    /// A file that FAT cannot hold.
    #[error("a file of {length} bytes does not fit FAT; expected at most 4294967295")]
    FileTooLarge {
        /// The length that the file would have.
        length: u64,
    },
    /// File data that does not follow what was written before.
    #[error("file data for offset {offset} came after {length} bytes were written")]
    Order {
        /// The offset that was given.
        offset: u64,
        /// The length so far.
        length: u64,
    },
    /// A file in so many pieces that its map would not fit in memory.
    #[error("the file has more than {limit} fragments; write it anew")]
    Fragmented {
        /// The largest number that is accepted.
        limit: usize,
    },
}
