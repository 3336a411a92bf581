// SPDX-License-Identifier: MIT OR Apache-2.0

//! Allocating and freeing clusters. Which cluster comes next follows FatFs.

use super::mounted::{Mount, Volume};
use super::table::Link;
use crate::error::Error;

impl Volume<'_> {
    pub(crate) fn link(&mut self, cluster: u32) -> Result<Link, Error> {
        let Mount {
            table, geometry, ..
        } = &mut *self.mount;
        table.get(&mut self.disk, geometry, cluster)
    }

    pub(crate) fn set_link(&mut self, cluster: u32, link: Link) -> Result<(), Error> {
        let Mount {
            table, geometry, ..
        } = &mut *self.mount;
        table.set(&mut self.disk, geometry, cluster, link)
    }

    /// The first cluster for a new chain.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], and those of the table.
    pub(crate) fn start_chain(&mut self) -> Result<u32, Error> {
        let hint = self.mount.hints.last;
        let from = if (1..self.mount.geometry.clusters_end).contains(&hint) {
            hint
        } else {
            1
        };
        let cluster = self.find_free(from)?;
        self.allocate(cluster)?;
        Ok(cluster)
    }

    /// The cluster after `last` in its chain, which is made longer if it ends there.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], and those of the table.
    pub(crate) fn extend_chain(&mut self, last: u32) -> Result<u32, Error> {
        match self.link(last)? {
            Link::Next(next) => return Ok(next),
            Link::Free => {
                let found = "a file has a cluster that is marked as free";
                return Err(Error::Damaged {
                    found,
                    cluster: last,
                });
            }
            Link::End => {}
        }
        let cluster = self.find_next(last)?;
        self.allocate(cluster)?;
        self.set_link(last, Link::Next(cluster))?;
        Ok(cluster)
    }

    /// Like [`Volume::extend_chain`] for a directory, which must end in zeroes after each cut: the
    /// new cluster is part of the chain only when both are on the disk.
    pub(crate) fn extend_directory(&mut self, last: u32) -> Result<u32, Error> {
        let cluster = self.find_next(last)?;
        self.clear_cluster(cluster)?;
        self.allocate(cluster)?;
        self.flush_table()?;
        self.set_link(last, Link::Next(cluster))?;
        self.flush_table()?;
        Ok(cluster)
    }

    /// Fills a cluster with zeroes.
    pub(crate) fn clear_cluster(&mut self, cluster: u32) -> Result<(), Error> {
        let Some(sector) = self.mount.geometry.sector_of(cluster) else {
            return Err(Error::Damaged {
                found: "a cluster is outside of the volume",
                cluster,
            });
        };
        self.flush_window()?;
        self.mount.window.clear();
        self.disk
            .zero(sector, u64::from(self.mount.geometry.cluster_sectors))
    }

    /// The best free cluster for the continuation of a chain: the one after it, or the first after
    /// the last allocation.
    fn find_next(&mut self, last: u32) -> Result<u32, Error> {
        let end = self.mount.geometry.clusters_end;
        let next = if last + 1 < end { last + 1 } else { 2 };
        if self.mount.hints.free != 0 && self.link(next)? == Link::Free {
            return Ok(next);
        }
        let hint = self.mount.hints.last;
        self.find_free(if (2..end).contains(&hint) { hint } else { last })
    }

    /// The first free cluster after `from`, which comes last.
    fn find_free(&mut self, from: u32) -> Result<u32, Error> {
        if self.mount.hints.free == 0 {
            return Err(Error::Full);
        }
        let end = self.mount.geometry.clusters_end;
        for cluster in (from + 1..end).chain(2..end.min(from + 1)) {
            if self.link(cluster)? == Link::Free {
                return Ok(cluster);
            }
        }
        Err(Error::Full)
    }

    fn allocate(&mut self, cluster: u32) -> Result<(), Error> {
        self.set_link(cluster, Link::End)?;
        let total = self.mount.geometry.clusters_end - 2;
        let hints = &mut self.mount.hints;
        hints.last = cluster;
        if hints.free <= total {
            hints.free = hints.free.saturating_sub(1);
        }
        self.mount.hints_changed = true;
        Ok(())
    }

    /// Frees the chain that starts at `first`. A loop ends where it meets itself.
    pub(crate) fn free_chain(&mut self, first: u32) -> Result<(), Error> {
        let total = self.mount.geometry.clusters_end - 2;
        let mut cluster = first;
        loop {
            let link = self.link(cluster)?;
            if link == Link::Free {
                return Ok(());
            }
            self.set_link(cluster, Link::Free)?;
            if self.mount.hints.free < total {
                self.mount.hints.free += 1;
                self.mount.hints_changed = true;
            }
            match link {
                Link::Next(next) => cluster = next,
                Link::Free | Link::End => return Ok(()),
            }
        }
    }
}
