// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be done with a running fleet.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::runner;
use super::shared::{Batch, Change, Entry, Shared};
use crate::agent;
use crate::control::StartRequest;
use crate::error::FleetError;
use crate::folder::Folder;
use crate::host;
use crate::model::{EventKind, Guest, Starting, State, Status, Update};
use crate::settings::Settings;

/// How long QEMU may take to end by itself before it is killed.
const QUIT: Duration = Duration::from_secs(5);
/// How long QEMU may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How many guests are stopped at the same time.
const STOPPING: usize = 64;

/// A running fleet. Copies lead to the same fleet; all threads may use them, but the asynchronous
/// functions only run within the supervisor's runtime.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(
        folder: &Folder,
        settings: Settings,
        launcher: Vec<OsString>,
    ) -> Result<Self, FleetError> {
        let shared = Arc::new(Shared::new(folder, settings, launcher)?);
        Ok(Self { shared })
    }

    /// The state folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.shared.folder
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the state of the whole fleet.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let inner = shared.lock();
        Status {
            image: shared.settings.image.path.clone(),
            elapsed: shared.elapsed(),
            started: shared.started,
            accelerator: shared.settings.accelerator.clone(),
            memory_mib: shared.settings.memory_mib,
            host: inner.host,
            supervisor: std::process::id(),
            supervisor_rss: host::own_rss(),
            held: inner.held(),
            starting: inner.is_starting(),
            update: inner.update.clone(),
            guests: inner.entries.iter().map(with_uptime).collect(),
        }
    }

    /// Returns how far the guests from `first` to `last` are.
    #[must_use]
    pub fn starting(&self, first: u32, last: u32) -> Starting {
        let inner = self.shared.lock();
        let mut starting = Starting {
            elapsed: self.shared.elapsed(),
            goes_on: inner.is_starting(),
            held: inner.held(),
            ..Starting::default()
        };
        let guests = inner.entries.iter().map(|entry| &entry.guest);
        for guest in guests.filter(|guest| (first..=last).contains(&guest.id)) {
            starting.count(guest.state);
        }
        starting
    }

    /// Returns the progress of the update that is under way, or the last one.
    #[must_use]
    pub fn update(&self) -> Option<Update> {
        self.shared.lock().update.clone()
    }

    /// Returns the state of guest `id`.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn guest(&self, id: u32) -> Result<Guest, FleetError> {
        let mut inner = self.shared.lock();
        let count = inner.entries.len();
        let entry = inner.entry(id);
        entry
            .map(|entry| with_uptime(entry))
            .ok_or(FleetError::NoGuest { id, count })
    }

    /// Returns the numbers of all guests.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        let inner = self.shared.lock();
        inner.entries.iter().map(|entry| entry.guest.id).collect()
    }

    /// Returns the changes from now on. Who falls behind by thousands of them is told so, and has
    /// to ask for the [status](Self::status).
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// Asks for more guests, and returns the numbers of the first and the last. They start one
    /// chunk after the other. When filling the memory, there may be fewer of them in the end.
    ///
    /// # Errors
    /// When the system's limits are too small for so many, or the fleet ends.
    pub fn start(&self, request: StartRequest) -> Result<(u32, u32), FleetError> {
        let shared = &self.shared;
        let mut inner = shared.lock();
        if inner.is_ending {
            return Err(FleetError::Ending(shared.folder.root().to_owned()));
        }
        let first = inner.next();
        let last = first.saturating_add(request.count.saturating_sub(1));
        if !request.fill {
            crate::limits::check(inner.count().saturating_add(request.count))?;
            inner.add(request.count);
        }
        inner.batches.push_back(Batch { first, request });
        let kind = EventKind::Start {
            first,
            count: request.count,
            chunk: request.chunk,
            cloned: shared.settings.clones.is_some() && inner.notice.is_none(),
        };
        inner.record(shared.elapsed(), kind);
        drop(inner);
        shared.batch_added.notify_one();
        Ok((first, last))
    }

    /// Executes a QMP command in the QEMU of guest `id`.
    ///
    /// # Errors
    /// When the guest does not run, or QEMU refuses the command.
    pub async fn qmp(
        &self,
        id: u32,
        command: &str,
        arguments: Option<Value>,
    ) -> Result<Value, FleetError> {
        let state = self.guest(id)?.state;
        let client = self.shared.change(id, |entry| entry.qmp.clone()).flatten();
        let client = client.ok_or(FleetError::NotRunning { id, state })?;
        let answer = timeout(ANSWER, client.execute(command, arguments)).await;
        answer
            .unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER.as_secs())))
            .map_err(|text| FleetError::Qmp {
                id,
                command: command.to_owned(),
                text,
            })
    }

    /// Resets guest `id`, as its reset button would.
    ///
    /// # Errors
    /// Those of [`Self::qmp`].
    pub async fn reset(&self, id: u32) -> Result<(), FleetError> {
        self.shared.change(id, |entry| entry.watch.expect_reset());
        self.qmp(id, "system_reset", None).await.map(drop)
    }

    /// Stops guest `id`: asks QEMU to end, and kills it if it does not. Returns when it has ended;
    /// a guest that does not run stays as it is.
    ///
    /// # Errors
    /// When there is no such guest.
    pub async fn stop(&self, id: u32) -> Result<(), FleetError> {
        self.guest(id)?;
        let (ended, wait) = oneshot::channel();
        let running = self.shared.change(id, |entry| {
            if entry.has_runner {
                entry.is_stopping = true;
                entry.waiters.push(ended);
                Some((entry.qmp.clone(), entry.kill.clone()))
            } else {
                if entry.guest.state == State::Waiting {
                    entry.guest.state = State::Stopped;
                }
                None
            }
        });
        let Some((client, kill)) = running.flatten() else {
            return Ok(());
        };
        let quit = async {
            // QEMU often ends before it has answered.
            let asked = match &client {
                Some(client) => client.execute("quit", None).await.map(drop),
                None => Err(String::new()),
            };
            if client.is_none() || asked.is_err_and(|text| text != "QEMU has ended") {
                kill.notify_one();
            }
            let _ = wait.await;
        };
        tokio::pin!(quit);
        if timeout(QUIT, &mut quit).await.is_err() {
            kill.notify_one();
            // The system ends a killed process; nothing can be done about one that it does not.
            let _ = timeout(QUIT, quit).await;
        }
        Ok(())
    }

    /// Starts guest `id` again on its disk; stops it first if it runs.
    ///
    /// # Errors
    /// When there is no such guest.
    pub async fn restart(&self, id: u32) -> Result<(), FleetError> {
        self.stop(id).await?;
        self.launch(id)
    }

    /// Starts guest `id`, which does not run, on its disk.
    ///
    /// # Errors
    /// When there is no such guest, or it runs.
    pub fn launch(&self, id: u32) -> Result<(), FleetError> {
        self.guest(id)?;
        if self.shared.lock().is_ending {
            return Err(FleetError::Ending(self.folder().root().to_owned()));
        }
        let is_free = self.shared.change(id, |entry| {
            entry.is_stopping = false;
            !std::mem::replace(&mut entry.has_runner, true)
        });
        if is_free != Some(true) {
            return Err(FleetError::AlreadyRuns(id));
        }
        tokio::spawn(runner::run(self.clone(), id));
        Ok(())
    }

    /// Stops all guests, and starts no further ones.
    pub async fn stop_all(&self) {
        {
            let mut inner = self.shared.lock();
            inner.batches.clear();
            inner.is_ending = true;
        }
        let mut stopping = JoinSet::new();
        for id in self.ids() {
            if stopping.len() >= STOPPING {
                stopping.join_next().await;
            }
            let handle = self.clone();
            stopping.spawn(async move { handle.stop(id).await });
        }
        stopping.join_all().await;
    }

    /// Sends a line to the agent of guest `id`, and returns its answer.
    ///
    /// # Errors
    /// When the guest has no network or does not run, or its agent does not answer within `limit`.
    pub async fn agent(&self, id: u32, line: &str, limit: Duration) -> Result<String, FleetError> {
        let guest = self.guest(id)?;
        let Some(port) = guest.port else {
            return Err(match guest.pid {
                Some(_) => FleetError::NoNetwork(id),
                None => FleetError::NotRunning {
                    id,
                    state: guest.state,
                },
            });
        };
        let answer = agent::ask(port, line, limit).await;
        answer.map_err(|source| FleetError::Agent {
            id,
            command: line.to_owned(),
            source,
        })
    }

    /// Changes what is known about guest `id`.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn edit(&self, id: u32, change: impl FnOnce(&mut Guest)) -> Result<(), FleetError> {
        self.guest(id)?;
        self.shared.change(id, |entry| change(&mut entry.guest));
        Ok(())
    }

    /// Sets the progress of the update, and adds it to the history.
    pub fn set_update(&self, update: Update) {
        let at = self.shared.elapsed();
        let mut inner = self.shared.lock();
        if inner.update.as_ref() != Some(&update) {
            inner.record(at, EventKind::Update(update.clone()));
            inner.update = Some(update);
        }
    }

    /// Has the update that is under way begin with no further guest; returns how many guests it has
    /// not begun with.
    pub fn stop_update(&self) -> u32 {
        let mut inner = self.shared.lock();
        inner.stops_update = true;
        inner.update.as_ref().map_or(0, |update| update.pending)
    }

    /// Returns whether [`Self::stop_update`] was called since the last time.
    pub(crate) fn update_is_to_stop(&self) -> bool {
        std::mem::take(&mut self.shared.lock().stops_update)
    }

    /// Returns the seconds since the fleet's start.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        self.shared.elapsed()
    }

    /// Expects guest `id` to end by itself, on request.
    pub(crate) fn expect_end(&self, id: u32) {
        self.shared.change(id, |entry| entry.is_stopping = true);
    }

    /// Sets why starting is slowed down or has ended.
    pub fn hold(&self, reason: Option<String>) {
        self.shared.lock().held = reason;
    }

    /// Ends the supervisor, which stops all guests.
    pub fn end(&self) {
        self.shared.ending.send_replace(true);
    }

    /// Waits for [`Self::end`].
    pub async fn ending(&self) {
        let mut ending = self.shared.ending.subscribe();
        // The sender lives as long as this handle.
        let _ = ending.wait_for(|ends| *ends).await;
    }

    /// Writes the history to its file.
    pub fn flush(&self) {
        self.shared.lock().flush();
    }
}

fn with_uptime(entry: &Entry) -> Guest {
    let mut guest = entry.guest.clone();
    let runs = guest.pid.is_some();
    guest.uptime = runs.then(|| (Instant::now() - entry.booted).as_secs_f64());
    guest
}
