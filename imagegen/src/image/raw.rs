// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use fwup::destination::Storage;

/// A raw image or a block device. Its size does not change.
#[derive(Debug)]
pub(super) struct RawDisk {
    file: File,
    length: u64,
}

impl RawDisk {
    pub(super) fn new(mut file: File) -> io::Result<Self> {
        // The metadata of a block device does not contain its size.
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, length })
    }
}

impl Storage for RawDisk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let at = offset.saturating_add(filled as u64);
            match self.file.read_at(&mut out[filled..], at) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn grows(&self) -> bool {
        false
    }

    fn grow(&mut self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}
