// SPDX-License-Identifier: MIT OR Apache-2.0

//! The file with the template's RAM. It lives on a file system in memory, outside of the state
//! folder, and must not outlive the fleet: a symbolic link in the state folder tells the next
//! supervisor what one that crashed has left.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::error::CloneError;
use crate::error::FleetError;
use crate::identity;

/// The prefix of the names of the folders with a template's RAM.
const PREFIX: &str = "little-loader-fleet-";

/// The RAM of a template; its file is removed at the end.
#[derive(Debug)]
pub struct Memory {
    link: PathBuf,
    file: PathBuf,
}

/// Returns the usual folder for the RAM: where the system has shared memory, else the one for
/// temporary files.
#[must_use]
pub fn usual_folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}

impl Memory {
    /// Makes a place for `mib` MiB in a new folder in `parent`, to which `link` leads.
    ///
    /// # Errors
    /// When there is no room, or the folder cannot be made.
    pub fn create(link: &Path, parent: &Path, mib: u32) -> Result<Self, CloneError> {
        let parent = parent
            .canonicalize()
            .map_err(FleetError::io("find", parent))?;
        let space = rustix::fs::statvfs(&parent)
            .map_err(|error| FleetError::io("examine", &parent)(error.into()))?;
        let free_mib = (space.f_bavail * space.f_frsize) >> 20;
        if free_mib < u64::from(mib) {
            return Err(CloneError::NoRoom {
                folder: parent,
                needed_mib: mib.into(),
                free_mib,
            });
        }
        let seed = identity::seed().map_err(FleetError::io("read", Path::new("/dev/urandom")))?;
        let folder = parent.join(format!("{PREFIX}{}", &seed[..16]));
        // The link comes first: nothing may be left that it does not lead to.
        symlink(&folder, link).map_err(FleetError::io("create", link))?;
        let memory = Self {
            link: link.to_owned(),
            file: folder.join("ram"),
        };
        // Only its owner may look at the guests' memory.
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(FleetError::io("create", &folder))?;
        Ok(memory)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next supervisor, which says why it cannot.
        let _: Result<(), FleetError> = remove(&self.link);
    }
}

/// Removes the RAM to which `link` leads, if any.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(link: &Path) -> Result<(), FleetError> {
    let folder = match fs::read_link(link) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FleetError::io("read", link)(error)),
    };
    let name = folder.file_name().and_then(|name| name.to_str());
    if name.is_some_and(|name| name.starts_with(PREFIX)) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FleetError::io("remove", &folder)(error));
            }
            _ => {}
        }
    }
    fs::remove_file(link).map_err(FleetError::io("remove", link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let memory = Memory::create(&link, folder.path(), 1).unwrap();
        fs::write(memory.file(), "ram").unwrap();
        // A crash: the file stays, and the next supervisor removes it.
        let file = memory.file().to_owned();
        std::mem::forget(memory);
        assert!(file.exists());
        remove(&link).unwrap();
        assert!(!file.exists() && !file.parent().unwrap().exists());
        remove(&link).unwrap();
        drop(Memory::create(&link, folder.path(), 1).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_folders_of_templates_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, other) = (folder.path().join("link"), folder.path().join("other"));
        fs::create_dir(&other).unwrap();
        symlink(&other, &link).unwrap();
        remove(&link).unwrap();
        assert!(other.exists() && !link.exists());
    }

    #[test]
    fn too_much_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let error = Memory::create(&link, folder.path(), u32::MAX).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("name another folder by --template-memory"),
            "{text}"
        );
        assert!(!link.exists());
    }
}
