// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `UBI_IOCVOLUP` of Linux (`include/uapi/mtd/ubi-user.h`): starts the update of a volume. Its
/// argument is the length of the data in bytes, a signed number of 64 bits.
const START_UPDATE: libc::Ioctl = libc::_IOW::<i64>('O' as u32, 0);

/// Starts the update of a UBI volume that is open for writing: the next `length` bytes written to
/// it, in order, become its contents. Until all are written, its old contents are lost, and Linux
/// marks the volume as one whose update was interrupted. With a length of 0 it becomes empty.
///
/// # Errors
///
/// The system's error: `ENOTTY` if the file is not a device with such a call, `EINVAL` if the
/// length is more than the volume holds, or more than an `i64`.
pub fn start_ubi_update(volume: &File, length: u64) -> io::Result<()> {
    let length = i64::try_from(length).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: the descriptor is open as long as `volume` is borrowed. This call reads an `i64` at
    // its argument and writes nothing; a device that has another call with this number takes an
    // argument of the same size and direction, which are part of the number.
    let result = unsafe { libc::ioctl(volume.as_raw_fd(), START_UPDATE, &raw const length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_that_of_the_kernel_header() {
        // Direction (write), size, type and number; see `include/uapi/asm-generic/ioctl.h`.
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        assert_eq!(START_UPDATE, 1 << 30 | 8 << 16 | 0x4f << 8);
    }

    #[test]
    fn other_files_are_refused() {
        let file = tempfile::tempfile().unwrap();
        let code = |length| start_ubi_update(&file, length).unwrap_err().raw_os_error();
        assert_eq!(code(1), Some(libc::ENOTTY));
        assert_eq!(code(u64::MAX), Some(libc::EINVAL));
    }
}
