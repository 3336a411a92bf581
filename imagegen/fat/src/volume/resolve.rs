// SPDX-License-Identifier: MIT OR Apache-2.0

//! Following paths.

use super::directory::Directory;
use super::find::Found;
use super::mounted::Volume;
use crate::disk::entry::{first_cluster, is_directory};
use crate::error::Error;
use crate::name::path::segments;
use crate::name::segment::Name;

/// The place that a path names.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) parent: Directory,
    pub(crate) name: Name,
    pub(crate) found: Option<Found>,
    /// The directories on the way, without the root.
    pub(crate) passed: Vec<Directory>,
}

impl Volume<'_> {
    /// Follows a path to a file or directory that does not have to exist.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`], also for the root; [`Error::NoDirectory`]; and those of the disk.
    pub(crate) fn resolve(&mut self, path: &str) -> Result<Target, Error> {
        let invalid = |reason| Error::InvalidPath {
            path: path.to_owned(),
            reason,
        };
        let names = segments(path).map_err(invalid)?;
        let Some((last, directories)) = names.split_last() else {
            return Err(invalid("it names the root directory"));
        };
        let mut parent = Directory::ROOT;
        let mut passed = Vec::new();
        for directory in directories {
            let name = Name::parse(directory).map_err(invalid)?;
            parent = match self.find(parent, &name)? {
                Some(found) if is_directory(&found.entry) => self.directory_of(&found),
                _ => {
                    return Err(Error::NoDirectory {
                        path: path.to_owned(),
                    });
                }
            };
            passed.push(parent);
        }
        let name = Name::parse(last).map_err(invalid)?;
        let found = self.find(parent, &name)?;
        Ok(Target {
            parent,
            name,
            found,
            passed,
        })
    }

    /// Follows a path to something that exists.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and those of [`Volume::resolve`].
    pub(crate) fn resolve_existing(&mut self, path: &str) -> Result<(Target, Found), Error> {
        let target = self.resolve(path)?;
        match target.found {
            Some(found) => Ok((target, found)),
            None => Err(Error::NotFound {
                path: path.to_owned(),
            }),
        }
    }

    pub(crate) fn first_cluster(&self, found: &Found) -> u32 {
        first_cluster(&found.entry, self.mount.geometry.is_fat32())
    }

    /// The directory that an entry is for.
    pub(crate) fn directory_of(&self, found: &Found) -> Directory {
        Directory::at(self.first_cluster(found))
    }
}
