// SPDX-License-Identifier: MIT OR Apache-2.0

//! A task of the array: the supervisor of one chunk of guests, and the hidden command `slurm-task`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;

use super::attempt::{self, Attempt, Record};
use super::job::{Chunk, Job};
use crate::control::StartRequest;
use crate::error::FleetError;
use crate::folder::{Folder, Lock};
use crate::host;
use crate::model::Status;
use crate::settings::{ImageFile, Settings};
use crate::supervisor::{Handle, Supervisor};

/// How long the lock of a node that died may last. A server of NFS 4 gives it back after 90 seconds
/// without a word from the node.
const LOCK: Duration = Duration::from_secs(180);
/// The pause between two looks at the lock.
const PAUSE: Duration = Duration::from_secs(1);
/// Guests that boot at the same time on each CPU.
const BOOTING: u32 = 4;
/// The seconds between two chunks of guests that are started together.
const DELAY: f64 = 1.0;

/// Runs one task of a job array
#[derive(Args, Clone, Debug)]
pub struct TaskArgs {
    /// The job's folder
    #[arg(long, value_name = "FOLDER")]
    job: PathBuf,
}

/// Supervises the task's guests until Slurm asks to end. `words` stand between the program and the
/// fleet's subcommand.
///
/// # Errors
/// When this is not a task of the job, or its guests cannot be supervised.
pub fn main(arguments: &TaskArgs, words: &[&str]) -> anyhow::Result<()> {
    let job = Job::read(&arguments.job)?;
    let attempt = Attempt::of_environment()?;
    let Some(chunk) = job.chunk_of(attempt.task) else {
        bail!(
            "there is no task {}: {} has {} tasks",
            attempt.task,
            arguments.job.display(),
            job.tasks()
        );
    };
    println!(
        "task {} on node {}, {} times before: guests {} to {}",
        attempt.task,
        attempt.node,
        attempt.restarts,
        chunk.first,
        chunk.first + (chunk.count - 1)
    );
    let path = attempt::folder(&arguments.job, attempt.task);
    fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    // Whoever has the folder ends when it sees this.
    attempt.claim(&path)?;
    let folder = Folder::new(&path)?;
    let lock = wait_for_lock(&folder)?;
    let earlier = Record::read(&path)?;
    Record::keep(&path)?;
    drop(lock);
    let supervisor = Supervisor::new(&folder, settings(&job, chunk)?, false, launcher(words)?)?;
    let publisher = Arc::new(Publisher {
        began: earlier.map_or(supervisor.handle().status().started, |record| record.began),
        folder: path,
        attempt,
    });
    let handle = supervisor.handle();
    handle.start(StartRequest {
        count: chunk.count,
        chunk: job.cpus,
        delay: DELAY,
        fill: false,
        limit_mib: None,
    })?;
    let pause = Duration::from_secs(u64::from(job.refresh));
    supervisor.spawn(refresh(handle.clone(), publisher.clone(), pause));
    supervisor.run()?;
    publisher.publish(handle.status(), true)?;
    println!("all guests are stopped");
    Ok(())
}

/// Waits until no other supervisor has the folder.
fn wait_for_lock(folder: &Folder) -> anyhow::Result<Lock> {
    let begun = Instant::now();
    loop {
        match folder.lock() {
            Err(FleetError::Running(_)) if begun.elapsed() < LOCK => thread::sleep(PAUSE),
            Err(FleetError::Running(path)) => bail!(
                "another supervisor has had {} for {} s: if its node is dead, the file server keeps the lock of a client that is gone (NFS 3 does until the node is back); remove the file `lock` there and requeue the task",
                path.display(),
                LOCK.as_secs()
            ),
            lock => return Ok(lock?),
        }
    }
}

/// Returns the settings of a task's guests on this node.
fn settings(job: &Job, chunk: Chunk) -> anyhow::Result<Settings> {
    let settings = job.settings.clone();
    Ok(Settings {
        // What it is now: disks of another image are refused.
        image: ImageFile::of(&settings.image.path)?,
        first: chunk.first,
        reserve_mib: (host::measure().memory / 1024 / 20).max(512),
        max_booting: job.cpus.saturating_mul(BOOTING),
        ..settings
    })
}

fn launcher(words: &[&str]) -> anyhow::Result<Vec<OsString>> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut launcher = vec![program.into_os_string()];
    launcher.extend(words.iter().map(OsString::from));
    Ok(launcher)
}

/// Writes the status of a task.
struct Publisher {
    folder: PathBuf,
    attempt: Attempt,
    began: u64,
}

impl Publisher {
    /// Writes the status, if no other attempt has the folder, and returns whether none has.
    fn publish(&self, status: Status, ended: bool) -> anyhow::Result<bool> {
        if !self.attempt.owns(&self.folder)? {
            return Ok(false);
        }
        let record = Record {
            attempt: self.attempt.clone(),
            began: self.began,
            written: attempt::now(),
            ended,
            status,
        };
        record.write(&self.folder)?;
        Ok(true)
    }
}

/// Writes the status again and again, and ends the supervisor if another attempt has the folder: the
/// node was given up, and lives.
async fn refresh(handle: Handle, publisher: Arc<Publisher>, pause: Duration) {
    let mut complained = false;
    loop {
        let (status, writer) = (handle.status(), publisher.clone());
        // A file server that hangs must not stop the supervision.
        let written = tokio::task::spawn_blocking(move || writer.publish(status, false)).await;
        match written {
            Ok(Ok(true)) => complained = false,
            Ok(Ok(false)) => {
                eprintln!("another attempt has taken over the guests: this one ends");
                handle.end();
                return;
            }
            Ok(Err(error)) if !complained => {
                eprintln!("{error:#}");
                complained = true;
            }
            Ok(Err(_)) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
    }
}
