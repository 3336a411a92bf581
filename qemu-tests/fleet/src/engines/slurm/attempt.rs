// SPDX-License-Identifier: MIT OR Apache-2.0

//! Attempts at a task, and what each leaves in the task's folder. Slurm starts a task again when its
//! node has died.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::Status;

/// An attempt at a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The task, from 0.
    pub(super) task: u32,
    /// The array task's own job ID, which it keeps when it is started again.
    pub(super) job: String,
    /// How often Slurm has started it before.
    pub(super) restarts: u32,
    /// The node.
    pub(super) node: String,
}

/// What a task says about itself: its `status.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) attempt: Attempt,
    /// Seconds since 1970 at the start of the first attempt.
    pub(super) began: u64,
    /// Seconds since 1970 at which this was written.
    pub(super) written: f64,
    /// Whether the supervisor has stopped all guests and ended.
    pub(super) ended: bool,
    pub(super) status: Status,
}

impl Attempt {
    /// Reads the variables that Slurm sets.
    pub(super) fn of_environment() -> anyhow::Result<Self> {
        let number = |name: &str| env::var(name).ok()?.parse().ok();
        let Some(task) = number("SLURM_ARRAY_TASK_ID") else {
            bail!(
                "SLURM_ARRAY_TASK_ID is not a number: only a job array of Slurm runs this command"
            );
        };
        let text = |name: &str| env::var(name).unwrap_or_default();
        Ok(Self {
            task,
            job: text("SLURM_JOB_ID"),
            restarts: number("SLURM_RESTART_COUNT").unwrap_or_default(),
            node: text("SLURMD_NODENAME"),
        })
    }

    /// Makes this the attempt that may use `folder`.
    pub(super) fn claim(&self, folder: &Path) -> anyhow::Result<()> {
        replace(&folder.join("owner.json"), self)
    }

    /// Returns whether no other attempt has claimed `folder` since.
    pub(super) fn owns(&self, folder: &Path) -> anyhow::Result<bool> {
        Ok(read(&folder.join("owner.json"))?.as_ref() == Some(self))
    }
}

impl Record {
    /// Reads the record of the newest attempt at the task of `folder`.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        read(&folder.join("status.json"))
    }

    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        replace(&folder.join("status.json"), self)
    }

    /// Keeps the record and the history of the last attempt under other names.
    pub(super) fn keep(folder: &Path) -> anyhow::Result<()> {
        let (status, history) = (folder.join("status.json"), folder.join("history.jsonl"));
        if !status.exists() || !history.exists() {
            return Ok(());
        }
        let (status_kept, history_kept) = earlier(folder)
            .find(|(status, _)| !status.exists())
            .context("numbers have an end")?;
        fs::rename(&history, history_kept)
            .and_then(|()| fs::rename(&status, status_kept))
            .with_context(|| format!("renaming {}", status.display()))
    }

    /// Returns the records of all attempts at the task of `folder`, each with its history, the oldest
    /// first.
    pub(super) fn all(folder: &Path) -> anyhow::Result<Vec<(Self, PathBuf)>> {
        let newest = (folder.join("status.json"), folder.join("history.jsonl"));
        let kept = earlier(folder).take_while(|(status, _)| status.exists());
        let mut records = vec![];
        for (status, history) in kept.chain([newest]) {
            if let Some(record) = read(&status)? {
                records.push((record, history));
            }
        }
        Ok(records)
    }
}

/// Returns the names of what earlier attempts have left, used or not.
fn earlier(folder: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    (1_u32..).map(|number| {
        (
            folder.join(format!("status-{number}.json")),
            folder.join(format!("history-{number}.jsonl")),
        )
    })
}

/// Returns the folder of a task.
pub(super) fn folder(job: &Path, task: u32) -> PathBuf {
    job.join(task.to_string())
}

/// Returns the seconds since 1970.
pub(super) fn now() -> f64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH);
    age.unwrap_or_default().as_secs_f64()
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let context = || format!("reading {}", path.display());
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(context),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(context),
    }
}

/// Writes a file whole or not at all, always by the same name beside it: a node that dies while it
/// writes leaves one file, not one more each time.
fn replace(path: &Path, contents: &impl Serialize) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let text = serde_json::to_vec(contents)?;
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing {}", path.display()))
}
