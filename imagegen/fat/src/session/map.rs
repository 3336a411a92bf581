// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the data of a file is on the disk.

use std::ops::Range;

use crate::disk::entry::size;
use crate::error::Error;
use crate::storage::{BLOCK, Block, Storage};
use crate::volume::find::Found;
use crate::volume::mounted::Volume;
use crate::volume::table::Link;

/// The most fragments, in 16 MiB of memory.
const MOST: usize = 1 << 20;

/// The places of a file's data, valid until the volume changes.
#[derive(Clone, Debug)]
pub struct FileMap {
    length: u32,
    /// Offsets in the file where each fragment starts, and its byte offset on the disk.
    fragments: Vec<(u32, u64)>,
}

impl FileMap {
    /// Follows the chain of a file as far as its length goes.
    pub(crate) fn new(volume: &mut Volume, found: &Found) -> Result<Self, Error> {
        let length = size(&found.entry);
        let geometry = volume.mount.geometry;
        let mut cluster = volume.first_cluster(found);
        let mut fragments = Vec::new();
        let mut expected = None;
        let mut offset: u32 = 0;
        let (mut remembered, mut steps) = (cluster, 0_u32);
        while offset < length {
            let Some(sector) = geometry.sector_of(cluster) else {
                let found = "the data of a file is outside of the volume";
                return Err(Error::Damaged { found, cluster });
            };
            if expected != Some(cluster) {
                if fragments.len() >= MOST {
                    return Err(Error::Fragmented { limit: MOST });
                }
                fragments.push((offset, volume.mount.start.byte_of(sector)));
            }
            let Some(next) = offset.checked_add(geometry.cluster_bytes()) else {
                break;
            };
            offset = next;
            if offset >= length {
                break;
            }
            expected = Some(cluster + 1);
            cluster = match volume.link(cluster)? {
                Link::Next(next) => next,
                Link::Free | Link::End => {
                    let found = "the chain of a file is shorter than its length";
                    return Err(Error::Damaged { found, cluster });
                }
            };
            // In a loop, the chain meets a cluster of it that was remembered once it went around.
            if cluster == remembered {
                let found = "the chain of a file is a loop";
                return Err(Error::Damaged { found, cluster });
            }
            steps += 1;
            if steps.is_power_of_two() {
                remembered = cluster;
            }
        }
        Ok(Self { length, fragments })
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The byte ranges on the disk, in the order of the file. They start at blocks; the last one
    /// ends with the file.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let ends = self.fragments.iter().skip(1).map(|&(offset, _)| offset);
        let ends = ends.chain([self.length]);
        let fragments = self.fragments.iter().zip(ends);
        fragments.map(|(&(offset, place), end)| place..place + u64::from(end - offset))
    }

    /// Reads from an offset in the file, and returns the number of bytes, which is smaller than
    /// `out` only at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Disk`].
    pub fn read_at(
        &self,
        disk: &mut dyn Storage,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let mut done = 0;
        let mut at = offset;
        while done < out.len() && at < self.length {
            let index = self.fragments.partition_point(|&(start, _)| start <= at) - 1;
            let (start, place) = self.fragments[index];
            let end = self
                .fragments
                .get(index + 1)
                .map_or(self.length, |&(end, _)| end);
            let wanted = out.len() - done;
            let part = wanted.min((end - at) as usize);
            let place = place + u64::from(at - start);
            let out = &mut out[done..done + part];
            let read = read(disk, place, out)?;
            done += read;
            at += read as u32;
        }
        Ok(done)
    }
}

/// Reads as much as one access gives: whole blocks, or a part of one block.
fn read(disk: &mut dyn Storage, place: u64, out: &mut [u8]) -> Result<usize, Error> {
    let block_size = BLOCK as u64;
    let fail = |offset| move |source| Error::Disk { offset, source };
    let within = (place % block_size) as usize;
    let whole = out.len() - out.len() % BLOCK;
    if within == 0 && whole > 0 {
        disk.read_at(place, &mut out[..whole])
            .map_err(fail(place))?;
        return Ok(whole);
    }
    let mut block: Block = [0; BLOCK];
    let offset = place - within as u64;
    disk.read_at(offset, &mut block).map_err(fail(offset))?;
    let part = out.len().min(BLOCK - within);
    out[..part].copy_from_slice(&block[within..within + part]);
    Ok(part)
}
