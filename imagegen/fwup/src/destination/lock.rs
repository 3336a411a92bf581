// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks a destination while it is written, so that two updaters cannot write it at once. The lock
//! is that of flock(2), which systemd also uses for disks; image files also get the locks that QEMU
//! uses. Linux releases them when the file is closed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// The number of attempts to lock a disk, and the time between them: udev locks a disk for a moment
/// when it looks for partitions.
const ATTEMPTS: u32 = 20;
const DELAY: Duration = Duration::from_millis(50);

/// Why a destination cannot be locked.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has locked it; the process, if it is known.
    Held(Option<String>),
    /// The system reports an error.
    Io(io::Error),
}

/// Locks a file or a disk. Does nothing on a file system without locks.
///
/// # Errors
///
/// When it is locked, for a disk after waiting for a second.
pub(super) fn lock(file: &File, is_regular: bool) -> Result<(), LockError> {
    let mut left = if is_regular { 1 } else { ATTEMPTS };
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_regular => return lock_image(file),
            Ok(()) | Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => {
                left -= 1;
                if left == 0 {
                    return Err(LockError::Held(holder(file)));
                }
                thread::sleep(DELAY);
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
    }
}

/// Locks an image file against QEMU.
fn lock_image(file: &File) -> Result<(), LockError> {
    #[cfg(target_os = "linux")]
    if !system_calls::lock_image(file).map_err(LockError::Io)? {
        let holder = "probably a QEMU that has the image as a disk";
        return Err(LockError::Held(Some(holder.to_owned())));
    }
    let _ = file;
    Ok(())
}

/// Describes the process that has locked a file; `None` if it is not known.
fn holder(file: &File) -> Option<String> {
    let found = file.metadata().ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = process_of(&locks, found.dev(), found.ino())?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(format!("{}, process {process}", name.trim()))
}

/// Finds the process with a flock on an inode. The format is that of proc_locks(5): a number with a
/// colon, the type, `ADVISORY` or `MANDATORY`, the access, the process, the device in hexadecimal
/// and the inode, separated by colons, and the range. A process that waits has an arrow after the
/// number.
fn process_of(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_flock = fields.next()? == "FLOCK";
        let process = fields.nth(2)?.parse().ok()?;
        // Processes of other namespaces have the number 0 or -1.
        (is_flock && fields.next()? == place && process > 0).then_some(process)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_with_the_lock_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 08:02:77 0 EOF\n\
            2: FLOCK  ADVISORY  WRITE 12 08:02:7 0 EOF\n\
            2: -> FLOCK  ADVISORY  WRITE 13 08:02:77 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE -1 08:02:77 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 14 103:1a:77 0 EOF\n\
            5: broken\n\
            6: FLOCK  ADVISORY  WRITE 15 08:02:77 0 EOF\n";
        let device = rustix::fs::makedev;
        assert_eq!(process_of(locks, device(8, 2), 77), Some(15));
        assert_eq!(process_of(locks, device(0x103, 0x1a), 77), Some(14));
        assert_eq!(process_of(locks, device(8, 2), 78), None);
    }

    #[test]
    fn a_file_is_locked_until_it_is_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut options = File::options();
        let options = options.read(true).write(true);
        let open = || options.open(file.path()).unwrap();
        let first = open();
        lock(&first, true).unwrap();
        lock(&first, true).unwrap();
        let Err(LockError::Held(holder)) = lock(&open(), true) else {
            panic!("the file was locked twice");
        };
        // The number is not known in some containers.
        if let Some(holder) = holder {
            let own = format!("process {}", std::process::id());
            assert!(holder.ends_with(&own), "{holder}");
        }
        drop(first);
        lock(&open(), true).unwrap();
    }

    #[test]
    fn an_image_that_qemu_uses_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut options = File::options();
        let options = options.read(true).write(true);
        let open = || options.open(file.path()).unwrap();
        let first = open();
        assert!(system_calls::lock_image(&first).unwrap());
        let Err(LockError::Held(Some(holder))) = lock(&open(), true) else {
            panic!("the file was locked twice");
        };
        assert!(holder.contains("QEMU"), "{holder}");
        drop(first);
        lock(&open(), true).unwrap();
    }
}
