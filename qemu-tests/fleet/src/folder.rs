// SPDX-License-Identifier: MIT OR Apache-2.0

//! The state folder of a fleet, and the paths in it.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::error::FleetError;
use crate::settings::Settings;

/// The longest path of a Unix socket that every system takes, in bytes.
const SOCKET_PATH: usize = 100;

/// The saved state in the folder of a template, which appears when the template is complete.
pub const TEMPLATE_STATE: &str = "state";

/// The state folder of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

/// The right to be the only supervisor of a folder. The system takes it back when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// Uses `root`, which becomes absolute.
    ///
    /// # Errors
    /// When the working directory is unknown.
    pub fn new(root: &Path) -> Result<Self, FleetError> {
        let root = std::path::absolute(root).map_err(FleetError::io("find", root))?;
        Ok(Self { root })
    }

    /// Returns the usual folder of a user: `$XDG_STATE_HOME/little-loader/fleet`, else
    /// `~/.local/state/little-loader/fleet`.
    #[must_use]
    pub fn usual() -> PathBuf {
        let absolute = |name: &str| {
            let path = env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .unwrap_or_else(env::temp_dir)
            .join("little-loader/fleet")
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.root.join("fleet.json")
    }

    /// The supervisor's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }

    /// What has happened, a [`model::Event`](crate::model::Event) a line.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.root.join("history.jsonl")
    }

    /// The folders of the guests.
    #[must_use]
    pub fn guests(&self) -> PathBuf {
        self.root.join("guests")
    }

    /// The folder of guest `id`.
    #[must_use]
    pub fn guest(&self, id: u32) -> PathBuf {
        self.guests().join(format!("{id:05}"))
    }

    /// The disk of guest `id`, an overlay of the fleet's image.
    #[must_use]
    pub fn disk(&self, id: u32) -> PathBuf {
        self.guest(id).join("disk.qcow2")
    }

    /// Everything that guest `id` has written to its console.
    #[must_use]
    pub fn console_log(&self, id: u32) -> PathBuf {
        self.guest(id).join("console.log")
    }

    /// What QEMU of guest `id` has written to stderr.
    #[must_use]
    pub fn qemu_log(&self, id: u32) -> PathBuf {
        self.guest(id).join("qemu.log")
    }

    /// Returns the folder for a new template. Those of earlier ones stay: the disks of their clones
    /// are overlays of their disks.
    #[must_use]
    pub fn new_template(&self) -> PathBuf {
        let folders = (1_u32..).map(|number| self.root.join(format!("template-{number:03}")));
        let mut unused = folders.filter(|folder| !folder.join(TEMPLATE_STATE).exists());
        unused.next().unwrap_or_else(|| self.root.join("template"))
    }

    /// The link to the RAM of the template, which is elsewhere.
    #[must_use]
    pub fn template_memory(&self) -> PathBuf {
        self.root.join("template-memory")
    }

    /// Takes the folder for a supervisor, and creates it if need be.
    ///
    /// # Errors
    /// [`FleetError::Running`], or when the folder cannot be written.
    pub fn lock(&self) -> Result<Lock, FleetError> {
        let guests = self.guests();
        fs::create_dir_all(&guests).map_err(FleetError::io("create", &guests))?;
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(FleetError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FleetError::Running(self.root.clone())),
            Err(TryLockError::Error(error)) => Err(FleetError::io("lock", &path)(error)),
        }
    }

    /// Removes everything of all guests and templates. Only the folder's supervisor may do it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn discard_guests(&self) -> Result<(), FleetError> {
        let guests = self.guests();
        fs::remove_dir_all(&guests).map_err(FleetError::io("remove", &guests))?;
        fs::create_dir_all(&guests).map_err(FleetError::io("create", &guests))?;
        let entries = fs::read_dir(&self.root).map_err(FleetError::io("read", &self.root))?;
        for entry in entries {
            let entry = entry.map_err(FleetError::io("read", &self.root))?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder
                && entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(b"template-")
            {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(FleetError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Checks that the disks of the guests, if there are any, are overlays of the settings' image.
    ///
    /// # Errors
    /// [`FleetError::OtherImage`], or when the folder cannot be read.
    pub fn check_image(&self, settings: &Settings) -> Result<(), FleetError> {
        let guests = self.guests();
        let mut entries = fs::read_dir(&guests).map_err(FleetError::io("read", &guests))?;
        let has_guests = entries.next().is_some();
        let Some(earlier) = Settings::read(&self.settings())?.filter(|_| has_guests) else {
            return Ok(());
        };
        if earlier.image == settings.image {
            return Ok(());
        }
        Err(FleetError::OtherImage {
            folder: self.root.clone(),
            changed: if earlier.image.path == settings.image.path {
                ", which has changed since"
            } else {
                ""
            },
            image: earlier.image.path,
        })
    }

    /// Returns whether a supervisor runs.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        File::open(self.root.join("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Returns why there is no supervisor to talk to.
    #[must_use]
    pub fn no_supervisor(&self) -> FleetError {
        FleetError::NoSupervisor {
            folder: self.root.clone(),
            remains: if self.settings().exists() {
                " (the last one has ended; the disks and consoles of its guests are kept)"
            } else {
                ""
            },
        }
    }

    /// Calls `act` with a path of the supervisor's socket.
    ///
    /// # Errors
    /// Those of `act`, and when the folder cannot be opened.
    pub fn with_control_socket<T>(
        &self,
        act: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        with_socket(&self.root, "supervisor.sock", act)
    }

    /// Calls `act` with a path of the socket `name` of guest `id`.
    ///
    /// # Errors
    /// Those of `act`, and when the folder cannot be opened.
    pub fn with_guest_socket<T>(
        &self,
        id: u32,
        name: &str,
        act: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        with_socket(&self.guest(id), name, act)
    }
}

/// Calls `act` with a path of the socket `name` in `folder`. The address of a Unix socket has room
/// for 108 bytes, so a long path is replaced with one through a descriptor of the folder.
///
/// # Errors
/// Those of `act`, and when the folder cannot be opened.
pub(crate) fn with_socket<T>(
    folder: &Path,
    name: &str,
    act: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().len() <= SOCKET_PATH || !cfg!(target_os = "linux") {
        return act(&path);
    }
    let folder = File::open(folder)?;
    act(Path::new(&format!(
        "/proc/self/fd/{}/{name}",
        folder.as_raw_fd()
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_folder_has_one_supervisor() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path()).unwrap();
        assert!(!folder.is_locked());
        let lock = folder.lock().unwrap();
        assert!(folder.is_locked());
        let error = folder.lock().unwrap_err().to_string();
        assert!(
            error.starts_with("a supervisor already runs for"),
            "{error}"
        );
        drop(lock);
        assert!(!folder.is_locked());
        folder.lock().unwrap();
    }

    #[test]
    fn sockets_work_in_deep_folders() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a-long-name/".repeat(20));
        fs::create_dir_all(&deep).unwrap();
        let folder = Folder::new(&deep).unwrap();
        let listener = folder
            .with_control_socket(|path| UnixListener::bind(path))
            .unwrap();
        assert!(deep.join("supervisor.sock").exists());
        folder
            .with_control_socket(|path| UnixStream::connect(path))
            .unwrap();
        listener.accept().unwrap();
    }
}
