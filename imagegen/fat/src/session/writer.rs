// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writing the data of a file.

use super::map::FileMap;
use super::mounts::{LastFile, Session};
use crate::disk::entry::{ARCHIVE, set_changed, set_first_cluster, set_size};
use crate::error::Error;
use crate::storage::{BLOCK, Storage};
use crate::volume::mounted::{Mount, Volume};

/// Data is written in runs of at least so many bytes, as far as it is contiguous.
const RUN: usize = 128 << 10;

/// A file that is being written, by [`Session::write`]. It appears with all its data when it is finished; dropped without
/// that, it stays empty.
pub struct FileWriter<'a> {
    session: &'a mut Session,
    disk: &'a mut dyn Storage,
    mount: Mount,
    file: LastFile,
    length: u32,
    /// The first and the last cluster so far.
    chain: Option<(u32, u32)>,
    /// Data that is not yet on the disk, and the sector where it starts.
    run: Vec<u8>,
    run_sector: u64,
}

impl<'a> FileWriter<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        disk: &'a mut dyn Storage,
        mount: Mount,
        file: LastFile,
    ) -> Self {
        Self {
            session,
            disk,
            mount,
            file,
            length: 0,
            chain: None,
            run: Vec::with_capacity(RUN),
            run_sector: 0,
        }
    }

    /// Writes data at an offset that is not before the end of what was written; a hole is filled
    /// with zeroes.
    ///
    /// # Errors
    ///
    /// [`Error::Order`], [`Error::FileTooLarge`], [`Error::Full`], and those of the disk. After an
    /// error, drop the writer: the file stays empty.
    pub fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.extend_to(offset)?;
        self.append(data)
    }

    /// Fills a hole at the end with zeroes.
    ///
    /// # Errors
    ///
    /// Those of [`FileWriter::write_at`].
    pub fn extend_to(&mut self, length: u64) -> Result<(), Error> {
        let zeroes = [0; 4096];
        let Some(mut missing) = length.checked_sub(u64::from(self.length)) else {
            return Err(Error::Order {
                offset: length,
                length: u64::from(self.length),
            });
        };
        self.check_length(missing)?;
        while missing > 0 {
            let part = missing.min(zeroes.len() as u64);
            self.append(&zeroes[..part as usize])?;
            missing -= part;
        }
        Ok(())
    }

    /// Reads another file of the disk.
    pub(super) fn read_from(
        &mut self,
        map: &FileMap,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        map.read_at(self.disk, offset, out)
    }

    fn check_length(&self, more: u64) -> Result<u32, Error> {
        let length = u64::from(self.length).saturating_add(more);
        u32::try_from(length).map_err(|_| Error::FileTooLarge { length })
    }

    fn append(&mut self, mut data: &[u8]) -> Result<(), Error> {
        self.check_length(data.len() as u64)?;
        let cluster_bytes = self.mount.geometry.cluster_bytes();
        while !data.is_empty() {
            let within = self.length % cluster_bytes;
            if within == 0 {
                self.next_cluster()?;
            }
            let room = (cluster_bytes - within) as usize;
            let (now, later) = data.split_at(room.min(data.len()));
            self.run.extend_from_slice(now);
            // A part of a cluster fits 32 bits, and the sum was checked.
            self.length += now.len() as u32;
            if self.run.len() >= RUN {
                self.flush_run()?;
            }
            data = later;
        }
        Ok(())
    }

    fn next_cluster(&mut self) -> Result<(), Error> {
        let mut volume = Volume::new(self.disk, &mut self.mount);
        let cluster = match self.chain {
            None => volume.start_chain()?,
            Some((_, last)) => volume.extend_chain(last)?,
        };
        let Some(sector) = volume.mount.geometry.sector_of(cluster) else {
            return Err(Error::Damaged {
                found: "a cluster is outside of the volume",
                cluster,
            });
        };
        self.chain = Some((self.chain.map_or(cluster, |(first, _)| first), cluster));
        if sector != self.run_sector + (self.run.len() / BLOCK) as u64 {
            self.flush_run()?;
            self.run_sector = sector;
        }
        Ok(())
    }

    /// Writes the whole sectors.
    fn flush_run(&mut self) -> Result<(), Error> {
        let whole = self.run.len() - self.run.len() % BLOCK;
        if whole > 0 {
            let mut volume = Volume::new(self.disk, &mut self.mount);
            volume.disk.write(self.run_sector, &self.run[..whole])?;
            self.run.drain(..whole);
            self.run_sector += (whole / BLOCK) as u64;
        }
        Ok(())
    }

    /// Writes what is left, the table, and then the entry with the length.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub fn finish(mut self) -> Result<(), Error> {
        let used = self.run.len() % BLOCK;
        if used > 0 {
            self.run.extend_from_slice(&self.file.tail[used..]);
            let last = self.run.len() - BLOCK;
            self.file.tail.copy_from_slice(&self.run[last..]);
        }
        self.flush_run()?;
        let mut volume = Volume::new(self.disk, &mut self.mount);
        if let Some((first, _)) = self.chain {
            volume.flush_table()?;
            let mut entry = volume.entry(self.file.at)?;
            entry[11] |= ARCHIVE;
            set_first_cluster(&mut entry, first, volume.mount.geometry.is_fat32());
            set_size(&mut entry, self.length);
            set_changed(&mut entry, self.session.time);
            volume.set_entry(self.file.at, &entry)?;
        }
        volume.sync()?;
        self.session.put(self.mount);
        self.session.last_file = Some(self.file);
        Ok(())
    }
}
