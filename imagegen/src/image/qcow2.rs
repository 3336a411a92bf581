// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io;
use std::path::Path;

use fwup::destination::Storage;
use imago::qcow2::Qcow2;
use imago::{
    FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate, StorageExt, StorageOpenOptions,
    file,
};

/// The start of a qcow2 image.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// A qcow2 image with its backing files. Its size does not change.
#[derive(Debug)]
pub(super) struct Qcow2Disk {
    access: FormatAccess<file::File>,
    is_writable: bool,
}

impl Qcow2Disk {
    /// Opens an image and its backing files, which are only read. `path` is that of `file`: a
    /// relative path of a backing file starts in its folder.
    pub(super) fn open(file: File, path: &Path, is_writable: bool) -> io::Result<Self> {
        let options = StorageOpenOptions::new().write(is_writable).filename(path);
        let storage = file::File::from_open_file(file, options)?;
        let image = Qcow2::<file::File>::builder(storage)
            .write(is_writable)
            .open(PermissiveImplicitOpenGate::default())?;
        Ok(Self {
            access: FormatAccess::new(image),
            is_writable,
        })
    }
}

impl Storage for Qcow2Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length().saturating_sub(offset);
        let length = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.access.read(&mut out[..length], offset)?;
        Ok(length)
    }

    /// Writes data in an order that an interruption cannot harm: the file never maps a block to a
    /// cluster that is not counted as used, or that does not contain the data yet.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut offset, mut data) = (offset, data);
        while !data.is_empty() {
            let length = data.len() as u64;
            let mapping = self.access.prepare_data_mapping(offset, length, true)?;
            let is_new = !mapping.is_nonblocking();
            if is_new {
                // The reference counts of the new clusters.
                self.access.flush()?;
            }
            // At most `length`.
            let (piece, rest) = data.split_at(mapping.length() as usize);
            mapping.storage().write(piece, mapping.offset())?;
            if is_new {
                self.access.sync()?;
            }
            self.access.commit_data_mapping(mapping)?;
            if is_new {
                self.access.flush()?;
            }
            offset += piece.len() as u64;
            data = rest;
        }
        Ok(())
    }

    fn length(&self) -> u64 {
        self.access.size()
    }

    fn grows(&self) -> bool {
        false
    }

    fn grow(&mut self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.is_writable {
            self.access.flush()?;
            self.access.sync()?;
        }
        Ok(())
    }
}
