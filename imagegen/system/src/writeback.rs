// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::os::fd::AsRawFd;

/// Makes Linux start to write a part of a file to the disk now, instead of when the file is synced.
/// `offset` and `length` are in bytes. This is a hint that changes no contents, so errors are
/// ignored: the next sync of the file reports data that cannot be written.
pub fn start_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // SAFETY: the descriptor is open as long as `file` is borrowed. The call uses none of our
    // memory.
    let _ = unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset,
            length,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn the_contents_stay() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        for (offset, length) in [(0, 10_000), (5000, 1), (1 << 40, 4096), (u64::MAX, 1)] {
            start_writeback(&file, offset, length);
        }
        file.rewind().unwrap();
        let mut found = Vec::new();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found, [7; 10_000]);
    }
}
