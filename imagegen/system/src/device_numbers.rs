// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The devices of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumbers {
    /// The number of the device that the file's file system is on.
    pub file_system: u64,
    /// The number of the block device that the file stands for, if it does.
    pub block_device: Option<u64>,
}

/// Returns the devices of a file, with links followed.
///
/// This is `stat64` of the C library, while the standard library calls `statx`: programs that
/// pretend to a test that files are on other devices replace `stat64`, fwup's own tests too.
///
/// # Errors
///
/// The system's error, or that the path has a zero byte.
pub fn device_numbers(path: &Path) -> io::Result<DeviceNumbers> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut status = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the path ends with a zero byte, and the function writes a `stat64` at most.
    let result = unsafe { libc::stat64(path.as_ptr(), status.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the function has succeeded, so it has written all of it.
    let status = unsafe { status.assume_init() };
    let is_block_device = status.st_mode & libc::S_IFMT == libc::S_IFBLK;
    Ok(DeviceNumbers {
        file_system: status.st_dev,
        block_device: is_block_device.then_some(status.st_rdev),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_standard_library() {
        for path in ["/", "/proc", "/dev/null", "/proc/self/exe"] {
            let numbers = device_numbers(Path::new(path)).unwrap();
            let expected = fs::metadata(path).unwrap().dev();
            assert_eq!(numbers.file_system, expected, "{path}");
            assert_eq!(numbers.block_device, None, "{path}");
        }
        let missing = device_numbers(Path::new("/missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let zero = device_numbers(Path::new("/\0")).unwrap_err();
        assert_eq!(zero.kind(), io::ErrorKind::InvalidInput);
    }
}
