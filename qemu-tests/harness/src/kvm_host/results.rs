// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the host leaves of its guests.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use cpio::newc::Reader;

/// The exit status of a killed program, as a shell reports it: 128 and SIGKILL.
const KILLED: i32 = 128 + 9;

/// How a guest's QEMU ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this exit status.
    Exited(i32),
    /// It was killed at its time limit.
    TimeUp,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(formatter, "exit status {status}"),
            Self::TimeUp => formatter.write_str("killed at its time limit"),
        }
    }
}

impl From<i32> for Status {
    fn from(status: i32) -> Self {
        if status == KILLED {
            Self::TimeUp
        } else {
            Self::Exited(status)
        }
    }
}

/// A guest that has ended. Displayed, it is the context of a failure: status, command, console
/// and messages.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The guest's name.
    pub name: String,
    /// How QEMU ended.
    pub status: Status,
    /// The complete output of the serial port.
    pub serial: String,
    /// QEMU's messages.
    pub messages: String,
    /// The exits to the host's kernel, as its tracer prints them, if they were recorded.
    pub trace: String,
    /// QEMU's command line inside the host.
    pub command: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            status,
            command,
            ..
        } = self;
        write!(
            formatter,
            "guest {name}: {status}\ncommand: {command}\nserial port:"
        )?;
        for line in self.serial.lines() {
            write!(formatter, "\n    {line}")?;
        }
        if !self.messages.is_empty() {
            write!(formatter, "\nQEMU: {}", self.messages.trim_end())?;
        }
        Ok(())
    }
}

/// Reads the archive that the host wrote to the start of `disk`: contents by name.
pub(super) fn read(disk: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut input = BufReader::new(File::open(disk)?);
    let mut files = BTreeMap::new();
    loop {
        let mut reader = Reader::new(input)?;
        if reader.entry().is_trailer() {
            return Ok(files);
        }
        let name = reader.entry().name().trim_start_matches("./").to_owned();
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        files.insert(name, content);
        input = reader.finish()?;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::newc::Archive;

    #[test]
    fn files_are_read_from_a_disk() {
        let mut archive = Archive::default();
        archive.folder(".").unwrap();
        archive.file("./0/status", b"0\n").unwrap();
        archive.file("./0/console", b"hello").unwrap();
        let mut bytes = archive.finish().unwrap();
        bytes.extend([0; 4096]);
        let disk = tempfile::NamedTempFile::new().unwrap();
        fs::write(disk.path(), &bytes).unwrap();
        let files = read(disk.path()).unwrap();
        assert_eq!(files["0/status"], b"0\n");
        assert_eq!(files["0/console"], b"hello");
        fs::write(disk.path(), [0; 4096]).unwrap();
        read(disk.path()).unwrap_err();
    }

    #[test]
    fn a_killed_guest_has_no_status_of_its_own() {
        assert_eq!(Status::from(137), Status::TimeUp);
        assert_eq!(Status::from(1), Status::Exited(1));
    }
}
