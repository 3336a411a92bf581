// SPDX-License-Identifier: MIT OR Apache-2.0

//! The locks by which QEMU keeps two programs from writing one image (QEMU, `block/file-posix.c`):
//! open file description locks on single bytes, which contain no data of interest. A program holds
//! a read lock on byte 100 + n if it uses permission n, and on byte 200 + n if nobody else may.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The first byte that QEMU locks.
const FIRST: i64 = 100;
/// The number of bytes from there to the last one.
const LENGTH: i64 = 105;
/// The byte for the permission to write.
const WRITES: i64 = 101;

/// Locks an image until the file is closed: no QEMU can open it. Returns false if a QEMU has opened
/// it, or another program locked it. Returns true on a file system without locks.
///
/// # Errors
///
/// The system's error, `EBADF` if the file is not open for writing.
pub fn lock_image(file: &File) -> io::Result<bool> {
    let lock = range(FIRST, LENGTH);
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the call only reads `lock`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP | libc::ENOLCK) => Ok(true),
        _ => Err(error),
    }
}

/// Whether a QEMU has opened an image for writing, or another program locked it. Returns false on a
/// file system without locks.
#[must_use]
pub fn is_image_written(file: &File) -> bool {
    let mut lock = range(WRITES, 1);
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the call reads and writes
    // one `flock`.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    result == 0 && i32::from(lock.l_type) != libc::F_UNLCK
}

/// A write lock on `length` bytes.
fn range(start: i64, length: i64) -> libc::flock {
    libc::flock {
        // The constants are small.
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn open(file: &tempfile::NamedTempFile) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).open(file.path()).unwrap()
    }

    #[test]
    fn an_image_is_locked_until_it_is_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (first, second) = (open(&file), open(&file));
        assert!(!is_image_written(&second));
        assert!(lock_image(&first).unwrap());
        assert!(lock_image(&first).unwrap());
        assert!(!is_image_written(&first));
        assert!(is_image_written(&second));
        assert!(!lock_image(&second).unwrap());
        drop(first);
        assert!(lock_image(&second).unwrap());
    }

    #[test]
    fn a_reader_in_qemus_way_keeps_writers_away_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (reader, writer) = (open(&file), open(&file));
        let mut lock = range(FIRST, 1);
        lock.l_type = libc::F_RDLCK as libc::c_short;
        // SAFETY: as above.
        let result = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        assert_eq!(result, 0);
        assert!(!is_image_written(&writer));
        assert!(!lock_image(&writer).unwrap());
    }
}
