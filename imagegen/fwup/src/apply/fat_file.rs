// SPDX-License-Identifier: MIT OR Apache-2.0

use fat_volume::FileWriter;

use super::error::{ApplyError, FatActionError};
use super::resource_copy::ResourceSink;
use crate::destination::aligned::AlignedBytes;

/// The file that `fat_write` writes. It stays empty unless it is finished.
pub(super) struct FatFile<'a> {
    path: &'a str,
    /// `None` after the end.
    writer: Option<FileWriter<'a>>,
}

impl<'a> FatFile<'a> {
    pub(super) fn new(path: &'a str, writer: FileWriter<'a>) -> Self {
        Self {
            path,
            writer: Some(writer),
        }
    }

    fn failed(&self, error: fat_volume::Error) -> ApplyError {
        FatActionError::new("fat_write", self.path, error).into()
    }

    fn write_data(&mut self, at: u64, piece: &[u8]) -> Result<(), ApplyError> {
        let written = match &mut self.writer {
            Some(writer) => writer.write_at(at, piece),
            None => Ok(()),
        };
        written.map_err(|error| self.failed(error))
    }
}

impl ResourceSink for FatFile<'_> {
    fn write(&mut self, at: u64, piece: &mut [u8]) -> Result<(), ApplyError> {
        self.write_data(at, piece)
    }

    fn finish(
        &mut self,
        last: Option<(u64, AlignedBytes)>,
        end: u64,
        _ends_in_hole: bool,
    ) -> Result<(), ApplyError> {
        if let Some((at, piece)) = last {
            self.write_data(at, &piece)?;
        }
        let finished = match self.writer.take() {
            Some(mut writer) => writer.extend_to(end).and_then(|()| writer.finish()),
            None => Ok(()),
        };
        finished.map_err(|error| self.failed(error))
    }
}
