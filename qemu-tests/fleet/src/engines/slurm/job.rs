// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tasks of a job run: its file `job.json`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// A fleet as a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Guests of all tasks.
    pub guests: u32,
    /// Guests of a task; the last one may have fewer.
    pub chunk: u32,
    /// CPUs of a task.
    pub cpus: u32,
    /// Memory of a task in MiB.
    pub memory_mib: u64,
    /// Seconds between two refreshes of a task's status.
    pub refresh: u32,
    /// The settings of the guests; the first one's number is that of the first task.
    pub settings: Settings,
}

/// The guests of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first: u32,
    pub(super) count: u32,
}

impl Job {
    /// Returns how many tasks the job has.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.guests.div_ceil(self.chunk.max(1))
    }

    /// Returns the guests of a task, or `None` after the last task.
    pub(super) fn chunk_of(&self, task: u32) -> Option<Chunk> {
        let before = task.checked_mul(self.chunk)?;
        let left = self.guests.checked_sub(before).filter(|left| *left > 0)?;
        Some(Chunk {
            first: self.settings.first.checked_add(before)?,
            count: left.min(self.chunk),
        })
    }

    /// Reads the job of the folder.
    ///
    /// # Errors
    /// When the folder is not that of a job.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = file(folder);
        let text = fs::read(&path).with_context(|| {
            format!(
                "reading {}, which `fleet slurm` writes into the job's folder",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        crate::write_whole(&file(folder), &serde_json::to_vec_pretty(self)?)
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("job.json")
}
