// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keeps the logs of consoles small.
//!
//! The beginning of a log that is too long becomes a hole: its blocks go back to the file system,
//! while the file keeps its length. QEMU goes on appending, nothing that it writes meanwhile is
//! lost, and the positions of those who read the log stay valid.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// Holes end at multiples of this many bytes, which are multiples of all usual file systems' blocks.
const UNIT: u64 = 64 << 10;

/// Releases what `log` has before the position `until`, rounded down; returns where the rest begins.
///
/// # Errors
/// When the file system cannot release a part of a file.
#[cfg(target_os = "linux")]
pub fn release(log: &File, until: u64) -> io::Result<u64> {
    use rustix::fs::{FallocateFlags, fallocate};

    let until = until / UNIT * UNIT;
    if until > 0 {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(log, hole, 0, until)?;
    }
    Ok(until)
}

/// Releases nothing: only Linux is known to be able to.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn release(_: &File, _: u64) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A log from its beginning, without what was released.
#[derive(Debug)]
pub struct Kept {
    log: File,
    position: u64,
    /// Whether the rest of a line follows whose beginning was released.
    in_line: bool,
}

impl Kept {
    /// Reads `log`.
    #[must_use]
    pub fn new(log: File) -> Self {
        Self {
            log,
            position: 0,
            in_line: false,
        }
    }

    /// Reads what follows into `buffer`, and returns how many bytes, 0 at the end. After a hole,
    /// begins with a whole line.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let data = after_hole(&self.log, self.position)?;
            if data > self.position {
                self.position = data;
                self.in_line = true;
            }
            self.log.seek(SeekFrom::Start(self.position))?;
            let count = self.log.read(buffer)?;
            self.position += count as u64;
            if count == 0 || !self.in_line {
                return Ok(count);
            }
            if let Some(end) = buffer[..count].iter().position(|byte| *byte == b'\n') {
                self.in_line = false;
                buffer.copy_within(end + 1..count, 0);
                if end + 1 < count {
                    return Ok(count - end - 1);
                }
            }
        }
    }
}

/// Returns the position at or after `position` where the file has data.
#[cfg(target_os = "linux")]
fn after_hole(file: &File, position: u64) -> io::Result<u64> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;

    match seek(file, SeekFrom::Data(position)) {
        Ok(data) => Ok(data),
        // The end, or a file system without holes.
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(position),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn after_hole(_: &File, position: u64) -> io::Result<u64> {
    Ok(position)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_was_released_is_left_out_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut options = OpenOptions::new();
        let mut log = options.create(true).append(true).open(&path).unwrap();
        let line = |number: u32| format!("line {number:06}\n");
        let lines: Vec<String> = (0..100_000).map(line).collect();
        log.write_all(lines.concat().as_bytes()).unwrap();
        let length = log.metadata().unwrap().len();
        let read = |kept: &mut Kept| {
            let (mut text, mut buffer) = (Vec::new(), [0; 1000]);
            loop {
                let count = kept.read(&mut buffer).unwrap();
                if count == 0 {
                    return String::from_utf8(text).unwrap();
                }
                text.extend_from_slice(&buffer[..count]);
            }
        };
        let mut kept = Kept::new(File::open(&path).unwrap());
        assert_eq!(read(&mut kept), lines.concat());

        let rest = release(&log, 1_000_000).unwrap();
        assert!((1_000_000 - UNIT..=1_000_000).contains(&rest));
        let metadata = log.metadata().unwrap();
        assert_eq!(metadata.len(), length);
        assert!(metadata.blocks() * 512 < length - 900_000);
        // The twelve bytes of a line are cut where the hole ends.
        let first = usize::try_from(rest / 12 + 1).unwrap();
        let expected = lines[first..].concat();
        assert_eq!(read(&mut Kept::new(File::open(&path).unwrap())), expected);
        // Who was at the end goes on there.
        log.write_all(b"more\n").unwrap();
        assert_eq!(read(&mut kept), "more\n");
    }
}
