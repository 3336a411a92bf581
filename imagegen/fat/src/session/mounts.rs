// SPDX-License-Identifier: MIT OR Apache-2.0

//! The volumes of a disk that are in use.

use std::ops::Range;

use crate::error::Error;
use crate::storage::{BLOCK, Block, Start, Storage};
use crate::timestamp::Timestamp;
use crate::volume::directory::Position;
use crate::volume::mounted::{Mount, Volume};

/// How many volumes stay mounted.
const SLOTS: usize = 4;

#[derive(Debug)]
struct Slot {
    start: Start,
    /// `None` until the first use, and after an error.
    mount: Option<Mount>,
}

/// The file that was written last.
#[derive(Debug)]
pub(crate) struct LastFile {
    pub(crate) start: Start,
    pub(crate) path: String,
    /// Its short entry.
    pub(crate) at: Position,
    /// What the next file's last sector is padded with: zeroes, or a rest of the last one.
    pub(crate) tail: Box<Block>,
}

impl LastFile {
    pub(crate) fn fresh_tail() -> Box<Block> {
        Box::new([0; BLOCK])
    }
}

/// The state that operations on the volumes of one disk share, for one run of a task.
///
/// Where a volume allocates next is remembered until four other volumes were used, as in fwup:
/// the bytes on the disk depend on it. Each operation writes its changes before it returns, so a
/// session can be dropped at any time.
#[derive(Debug)]
pub struct Session {
    pub(crate) time: Timestamp,
    slots: [Option<Slot>; SLOTS],
    next: usize,
    /// The file that was written last, which fwup leaves open.
    pub(crate) last_file: Option<LastFile>,
}

impl Session {
    /// Starts a session whose changes are stamped with one time.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        Self {
            time,
            slots: [const { None }; SLOTS],
            next: 0,
            last_file: None,
        }
    }

    /// Forgets all volumes. fwup does so before `on-finish` and `on-error`, which shows in where
    /// the next file is allocated.
    pub fn unmount(&mut self) {
        *self = Self::new(self.time);
    }

    /// Forgets the volumes whose first block is in a range of bytes of the disk, because other data is
    /// written there. A file system that is found there later is read anew.
    pub fn forget(&mut self, bytes: Range<u64>) {
        let is_lost = |start: Start| bytes.contains(&start.byte_of(0));
        for slot in self.slots.iter_mut().flatten() {
            if is_lost(slot.start) {
                slot.mount = None;
            }
        }
        self.last_file = self.last_file.take().filter(|last| !is_lost(last.start));
    }

    /// Makes a file system with clusters of 512 bytes in so many blocks. It is FAT12 up to 4085
    /// blocks, FAT16 up to about 66,000, and else FAT32.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] for sizes that none of these can have, before anything is written; those of
    /// the disk.
    pub fn make_file_system(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        blocks: u64,
    ) -> Result<(), Error> {
        self.last_file = None;
        let slot = self.slot(start);
        slot.mount = None;
        crate::volume::make::make(disk, start, blocks, self.time)
    }

    /// The slot of a volume, possibly that of the volume that was mounted first.
    fn slot(&mut self, start: Start) -> &mut Slot {
        let is_same = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.start == start);
        let index = self.slots.iter().position(is_same).unwrap_or_else(|| {
            // Slots are filled in order and never emptied, so the next one is free or the oldest.
            let index = self.next;
            self.next = (self.next + 1) % SLOTS;
            self.slots[index] = None;
            index
        });
        self.slots[index].get_or_insert(Slot { start, mount: None })
    }

    /// Takes a volume out, mounting it first if necessary. Until it is put back with
    /// [`Session::put`], the session has forgotten everything about it.
    pub(crate) fn take(&mut self, disk: &mut dyn Storage, start: Start) -> Result<Mount, Error> {
        let mounted = self.slot(start).mount.take();
        mounted.map_or_else(|| Mount::new(disk, start), Ok)
    }

    pub(crate) fn put(&mut self, mut mount: Mount) {
        // The caller may write to the disk before the next operation.
        mount.table.clear();
        mount.window.clear();
        let start = mount.start;
        self.slot(start).mount = Some(mount);
    }

    /// Runs an operation on a volume, and writes its changes. After an error, changes that are not
    /// yet on the disk are dropped.
    pub(crate) fn on<T>(
        &mut self,
        disk: &mut dyn Storage,
        start: Start,
        operation: impl FnOnce(&mut Volume, Timestamp) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let time = self.time;
        let mut mount = self.take(disk, start)?;
        let mut volume = Volume::new(disk, &mut mount);
        let result = operation(&mut volume, time);
        let result = match result {
            Ok(value) => volume.sync().map(|()| value),
            Err(error) => Err(error),
        };
        if result.is_ok() || !mount.is_dirty() {
            self.put(mount);
        }
        result
    }
}
