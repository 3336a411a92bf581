// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fwup::destination::Storage;
use imago::qcow2::Qcow2;
use imago::{
    FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate, StorageExt, StorageOpenOptions,
    file,
};

use super::error::Qcow2Error;

/// The offset in bytes of the last byte of the incompatible features in the header (QEMU,
/// `docs/interop/qcow2.txt`).
const FEATURES: u64 = 79;
/// The feature that marks an image whose reference counts may be wrong. QEMU repairs them when it
/// opens such an image for writing, and other programs refuse it.
const DIRTY: u8 = 1;

/// A qcow2 image with its backing files. Its size does not change.
///
/// While it is changed it has the dirty mark: after an interruption, clusters may have a reference
/// count that is too high, or 0 in the case of the tables that a write added.
#[derive(Debug)]
pub(super) struct Qcow2Disk {
    access: FormatAccess<file::File>,
    /// The file, for the dirty mark; `None` if it is only read.
    marked: Option<File>,
    is_dirty: bool,
    has_failed: bool,
}

impl Qcow2Disk {
    /// Opens an image and its backing files, which are only read. `path` is that of `file`: a
    /// relative path of a backing file starts in its folder.
    pub(super) fn open(file: File, path: &Path, is_writable: bool) -> Result<Self, Qcow2Error> {
        // The features of version 2, which has none, are those of the first extension.
        let mut header = [0; FEATURES as usize + 1];
        file.read_exact_at(&mut header, 0)?;
        let is_old = header[4..8] == 2_u32.to_be_bytes();
        if is_old && is_writable {
            return Err(Qcow2Error::Old);
        }
        if !is_old && header[FEATURES as usize] & DIRTY != 0 {
            return Err(Qcow2Error::Dirty);
        }
        let marked = is_writable.then(|| file.try_clone()).transpose()?;
        let options = StorageOpenOptions::new().write(is_writable).filename(path);
        let storage = file::File::from_open_file(file, options)?;
        let image = Qcow2::<file::File>::builder(storage)
            .write(is_writable)
            .open(PermissiveImplicitOpenGate::default())?;
        Ok(Self {
            access: FormatAccess::new(image),
            marked,
            is_dirty: false,
            has_failed: false,
        })
    }

    /// Sets or removes the dirty mark, after all previous writes and before all later ones.
    fn mark(&mut self, is_dirty: bool) -> io::Result<()> {
        let Some(file) = &self.marked else {
            return Err(io::ErrorKind::PermissionDenied.into());
        };
        if self.is_dirty != is_dirty {
            let mut features = [0];
            file.read_exact_at(&mut features, FEATURES)?;
            file.write_all_at(&[features[0] & !DIRTY | u8::from(is_dirty)], FEATURES)?;
            file.sync_all()?;
            self.is_dirty = is_dirty;
        }
        Ok(())
    }

    /// Writes data in an order that an interruption cannot harm: the file maps a block to a new
    /// cluster only after the cluster contains the data and is counted as used.
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.mark(true)?;
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

    fn flush(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.access.flush()?;
            self.access.sync()?;
        }
        Ok(())
    }
}

impl Drop for Qcow2Disk {
    /// Removes the dirty mark. After an error it stays, so that QEMU repairs the image.
    fn drop(&mut self) {
        if self.is_dirty && !self.has_failed && self.flush().is_ok() {
            let _ = self.mark(false);
        }
    }
}

impl Storage for Qcow2Disk {
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length().saturating_sub(offset);
        let length = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.access.read(&mut out[..length], offset)?;
        Ok(length)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let result = self.write(offset, data);
        self.has_failed |= result.is_err();
        result
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
        let result = self.flush();
        self.has_failed |= result.is_err();
        result
    }
}
