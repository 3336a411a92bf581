// SPDX-License-Identifier: MIT OR Apache-2.0

//! Positions in a directory, and its entries.

use super::mounted::Volume;
use super::table::Link;
use crate::disk::entry::Entry;
use crate::disk::geometry::Root;
use crate::error::Error;
use crate::storage::BLOCK;

/// The most entries of a directory (2 MiB of them), which also ends a loop in its chain.
const MOST: u32 = 65536;
const ENTRY: u32 = 32;
/// Entries per sector.
const PER_SECTOR: u32 = BLOCK as u32 / ENTRY;

/// A directory by its first cluster, or the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directory(u32);

impl Directory {
    pub(crate) const ROOT: Self = Self(0);

    /// Cluster 0 means the root, as in the entry `..` of its subdirectories.
    pub(crate) fn at(cluster: u32) -> Self {
        Self(cluster)
    }

    pub(crate) fn cluster(self) -> u32 {
        self.0
    }
}

/// The place of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) directory: Directory,
    /// Counted from the start of the directory.
    pub(crate) index: u32,
    sector: u64,
    /// `None` in a root directory at a fixed place.
    cluster: Option<u32>,
}

impl Volume<'_> {
    /// The place of an entry, which must exist.
    pub(crate) fn seek(&mut self, directory: Directory, index: u32) -> Result<Position, Error> {
        let geometry = self.mount.geometry;
        let cluster = match (directory.0, geometry.root) {
            (0, Root::Fixed { sector, entries }) => {
                if index >= entries {
                    return Err(Error::Damaged {
                        found: "the root directory ends",
                        cluster: 0,
                    });
                }
                let sector = sector + u64::from(index / PER_SECTOR);
                return Ok(Position {
                    directory,
                    index,
                    sector,
                    cluster: None,
                });
            }
            (0, Root::Chain { first }) => first,
            (cluster, _) => cluster,
        };
        let per_cluster = geometry.cluster_sectors * PER_SECTOR;
        let mut at = cluster;
        for _ in 0..index / per_cluster {
            at = match self.link(at)? {
                Link::Next(next) => next,
                Link::Free | Link::End => {
                    let found = "a directory ends too early";
                    return Err(Error::Damaged { found, cluster: at });
                }
            };
        }
        let Some(sector) = geometry.sector_of(at) else {
            let found = "a directory is outside of the volume";
            return Err(Error::Damaged { found, cluster: at });
        };
        let sector = sector + u64::from(index % per_cluster / PER_SECTOR);
        Ok(Position {
            directory,
            index,
            sector,
            cluster: Some(at),
        })
    }

    /// The next entry; `None` at the end of the directory.
    pub(crate) fn next(&mut self, at: Position) -> Result<Option<Position>, Error> {
        let index = at.index + 1;
        if index >= MOST {
            return Ok(None);
        }
        if !index.is_multiple_of(PER_SECTOR) {
            return Ok(Some(Position { index, ..at }));
        }
        let geometry = self.mount.geometry;
        let Some(cluster) = at.cluster else {
            let Root::Fixed { entries, .. } = geometry.root else {
                return Ok(None);
            };
            let next = Position {
                index,
                sector: at.sector + 1,
                ..at
            };
            return Ok((index < entries).then_some(next));
        };
        if !(index / PER_SECTOR).is_multiple_of(geometry.cluster_sectors) {
            return Ok(Some(Position {
                index,
                sector: at.sector + 1,
                ..at
            }));
        }
        match self.link(cluster)? {
            Link::Free => {
                let found = "a directory has a cluster that is marked as free";
                Err(Error::Damaged { found, cluster })
            }
            Link::End => Ok(None),
            Link::Next(next) => Ok(self.enter(at, next)),
        }
    }

    /// The next entry. A directory that ends becomes a cluster longer.
    ///
    /// # Errors
    ///
    /// [`Error::DirectoryFull`] if it cannot, [`Error::Full`], and those of the table.
    pub(crate) fn next_or_grow(&mut self, at: Position) -> Result<Position, Error> {
        if let Some(next) = self.next(at)? {
            return Ok(next);
        }
        let grown = match at.cluster {
            Some(cluster) if at.index + 1 < MOST => {
                let next = self.extend_directory(cluster)?;
                self.enter(at, next)
            }
            _ => None,
        };
        grown.ok_or(Error::DirectoryFull)
    }

    /// The first entry of the next cluster.
    fn enter(&self, at: Position, cluster: u32) -> Option<Position> {
        let sector = self.mount.geometry.sector_of(cluster)?;
        let index = at.index + 1;
        Some(Position {
            index,
            sector,
            cluster: Some(cluster),
            ..at
        })
    }

    pub(crate) fn entry(&mut self, at: Position) -> Result<Entry, Error> {
        let block = self.mount.window.load(&mut self.disk, at.sector)?;
        let mut entry = [0; ENTRY as usize];
        entry.copy_from_slice(&block[range(at)]);
        Ok(entry)
    }

    /// Changes an entry, which reaches the disk at the next flush or move to another sector.
    pub(crate) fn set_entry(&mut self, at: Position, entry: &Entry) -> Result<(), Error> {
        let block = self.mount.window.load(&mut self.disk, at.sector)?;
        block[range(at)].copy_from_slice(entry);
        self.mount.window.touch();
        Ok(())
    }
}

fn range(at: Position) -> std::ops::Range<usize> {
    let start = (at.index % PER_SECTOR * ENTRY) as usize;
    start..start + ENTRY as usize
}
