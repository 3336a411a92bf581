// SPDX-License-Identifier: MIT OR Apache-2.0

//! Appends to `history.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};

use crate::error::FleetError;
use crate::folder::Folder;
use crate::model::Event;

/// The history of a fleet, written in pieces.
#[derive(Debug)]
pub(super) struct History {
    file: BufWriter<File>,
}

impl History {
    /// Begins a new history; the one of the folder's previous fleet is replaced.
    pub(super) fn begin(folder: &Folder) -> Result<Self, FleetError> {
        let path = folder.history();
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .map_err(FleetError::io("write", &path))?;
        Ok(Self {
            file: BufWriter::new(file),
        })
    }

    /// Adds an event.
    pub(super) fn record(&mut self, event: &Event) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.file, event)?;
        self.file.write_all(b"\n")
    }

    /// Writes what has been added to the file.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
