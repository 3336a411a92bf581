// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mounting, and the state that stays between operations.

use super::table::Table;
use super::window::{Sectors, Window};
use crate::disk::geometry::{Geometry, Kind, geometry, kind, partitions};
use crate::disk::info::{self, Hints, UNKNOWN};
use crate::error::Error;
use crate::storage::{Start, Storage};

/// What is known about a volume between operations.
///
/// The place of the last allocation is part of it: the bytes on the disk depend on it.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) start: Start,
    pub(crate) geometry: Geometry,
    pub(crate) hints: Hints,
    /// The hints are not yet on the disk.
    pub(crate) hints_changed: bool,
    pub(crate) table: Table,
    pub(crate) window: Window,
}

impl Mount {
    /// # Errors
    ///
    /// [`Error::NoFileSystem`], and those of the disk.
    pub(crate) fn new(disk: &mut dyn Storage, start: Start) -> Result<Self, Error> {
        let mut sectors = Sectors { disk, start };
        let geometry = find(&mut sectors)?;
        let mut hints = None;
        if geometry.has_info {
            hints = info::decode(&sectors.read(geometry.boot + 1)?);
        }
        Ok(Self {
            start,
            geometry,
            hints: hints.unwrap_or(Hints {
                free: UNKNOWN,
                last: UNKNOWN,
            }),
            hints_changed: false,
            table: Table::default(),
            window: Window::default(),
        })
    }

    /// Whether changes wait to be written.
    pub(crate) fn is_dirty(&self) -> bool {
        self.table.is_dirty() || self.window.is_dirty()
    }
}

/// The boot sector is the first sector, or the first of a partition if that has a partition table.
fn find(sectors: &mut Sectors) -> Result<Geometry, Error> {
    let fail = |reason| Error::NoFileSystem { reason };
    let first = sectors.read(0)?;
    match kind(&first) {
        Kind::Fat => return geometry(&first, 0).map_err(fail),
        Kind::Signed => {}
        Kind::Other => return Err(fail("the first block is not a boot sector")),
    }
    for start in partitions(&first) {
        let block = sectors.read(start)?;
        if kind(&block) == Kind::Fat {
            return geometry(&block, start).map_err(fail);
        }
    }
    Err(fail(
        "the first block is a boot sector of another file system",
    ))
}

/// A volume during an operation.
pub(crate) struct Volume<'a> {
    pub(crate) disk: Sectors<'a>,
    pub(crate) mount: &'a mut Mount,
}

impl<'a> Volume<'a> {
    pub(crate) fn new(disk: &'a mut dyn Storage, mount: &'a mut Mount) -> Self {
        let start = mount.start;
        Self {
            disk: Sectors { disk, start },
            mount,
        }
    }

    /// Writes the changes of the table.
    pub(crate) fn flush_table(&mut self) -> Result<(), Error> {
        let Mount {
            table, geometry, ..
        } = &mut *self.mount;
        table.flush(&mut self.disk, geometry)
    }

    /// Writes the changed directory sector.
    pub(crate) fn flush_window(&mut self) -> Result<(), Error> {
        self.mount.window.flush(&mut self.disk)
    }

    /// Writes all changes: the table, then the directory that refers to it, then the hints.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.flush_table()?;
        self.flush_window()?;
        if self.mount.hints_changed && self.mount.geometry.has_info {
            let sector = self.mount.geometry.boot + 1;
            self.disk.write(sector, &info::encode(self.mount.hints))?;
        }
        self.mount.hints_changed = false;
        Ok(())
    }
}
