// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reads what is new in a console's log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::limit;
use super::lines::Lines;

/// The most that one call reads, in bytes; the rest waits for the next one.
const MOST: u64 = 256 << 10;

/// A position in a log.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    offset: u64,
    lines: Lines,
    /// Whether the last call has left something.
    is_behind: bool,
    /// The position up to which the log was released.
    released: u64,
}

impl Tail {
    /// Returns a tail that begins after what the log contains.
    ///
    /// # Errors
    /// When the log exists and cannot be examined.
    pub fn at_end(path: &Path) -> io::Result<Self> {
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self {
            offset: length,
            ..Self::default()
        })
    }

    /// Reads what is new in the log at `path` with `buffer`, and calls `line` with each complete
    /// line. Returns whether there was anything. A log that does not exist has no lines; one that
    /// has become shorter is read from its start.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(
        &mut self,
        path: &Path,
        buffer: &mut [u8],
        mut line: impl FnMut(&str),
    ) -> io::Result<bool> {
        // One system call for a silent guest, which most are most of the time.
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if length == self.offset {
            self.is_behind = false;
            return Ok(false);
        }
        if length < self.offset {
            *self = Self::default();
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let end = length.min(self.offset + MOST);
        while self.offset < end {
            let room = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
            let room = room.min(buffer.len());
            let count = file.read(&mut buffer[..room])?;
            if count == 0 {
                break;
            }
            self.offset += count as u64;
            self.lines.push(&buffer[..count], &mut line);
        }
        self.is_behind = self.offset < length;
        Ok(true)
    }

    /// Returns whether the last [`Self::read`] has left something that was there.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Once more than `most` bytes have been read since the last time, releases all but the last half
    /// of that, or a little more, of what was read from the log at `path`.
    ///
    /// # Errors
    /// When the file system cannot release a part of a file.
    pub fn limit(&mut self, path: &Path, most: u64) -> io::Result<()> {
        if self.offset.saturating_sub(self.released) > most {
            let log = OpenOptions::new().write(true).open(path)?;
            self.released = limit::release(&log, self.offset - most / 2)?;
        }
        Ok(())
    }

    /// Returns the line that has no end yet.
    #[must_use]
    pub fn unfinished(&self) -> String {
        self.lines.unfinished()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_what_is_new_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut tail = Tail::at_end(&path).unwrap();
        let read = |tail: &mut Tail| {
            let mut lines = Vec::new();
            tail.read(&path, &mut [0; 7], |line| lines.push(line.to_owned()))
                .unwrap();
            lines
        };
        assert!(read(&mut tail).is_empty());
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(b"the first line\nthe sec").unwrap();
        assert_eq!(read(&mut tail), ["the first line"]);
        file.write_all(b"ond\n> ").unwrap();
        assert_eq!(read(&mut tail), ["the second"]);
        assert_eq!(tail.unfinished(), "> ");
        assert!(read(&mut tail).is_empty());
        assert!(read(&mut Tail::at_end(&path).unwrap()).is_empty());
        file.set_len(0).unwrap();
        file.write_all(b"anew\n").unwrap();
        assert_eq!(read(&mut tail), ["anew"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_long_log_loses_its_beginning_and_no_line() {
        use std::os::unix::fs::MetadataExt as _;

        const MOST: u64 = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let mut tail = Tail::default();
        let mut buffer = vec![0; 16 << 10];
        let (mut written, mut seen) = (0_u32, 0_u32);
        for _ in 0..40 {
            for _ in 0..10_000 {
                writeln!(log, "line {written:06}").unwrap();
                written += 1;
            }
            while tail
                .read(&path, &mut buffer, |line| {
                    assert_eq!(line, format!("line {seen:06}"));
                    seen += 1;
                })
                .unwrap()
            {
                tail.limit(&path, MOST).unwrap();
            }
            assert!(!tail.is_behind());
        }
        assert_eq!(seen, written);
        let metadata = log.metadata().unwrap();
        assert_eq!(metadata.len(), u64::from(written) * 12);
        let kept = metadata.blocks() * 512;
        assert!((MOST / 2..=MOST + (64 << 10)).contains(&kept), "{kept}");
    }
}
