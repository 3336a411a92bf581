// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the supervisor's tasks share.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use imagegen::overlay::OverlayBuilder;
use tokio::sync::{Notify, broadcast, oneshot, watch};

use super::history::History;
use super::ports::Ports;
use super::template::Progress;
use crate::console::tail::Tail;
use crate::control::StartRequest;
use crate::error::FleetError;
use crate::folder::Folder;
use crate::identity;
use crate::model::{Event, EventKind, Guest, Host, State, Update};
use crate::placement::{self, Pin, Topology};
use crate::qmp;
use crate::settings::Settings;
use crate::watch::Watch;

/// The changes that a slow receiver may fall behind.
const CHANGES: usize = 8192;

/// How many clones may fail in a row.
const CLONE_FAILURES: u32 = 3;
/// How long after its start the pages of a guest are new to the host.
const NEW: Duration = Duration::from_secs(180);

/// A guest has entered a state, or another slot, or reason for it, became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The guest.
    pub id: u32,
    /// Its state before.
    pub previous: State,
    /// Its state.
    pub state: State,
    /// Its slot.
    pub slot: Option<String>,
    /// The loader's reason for the slot.
    pub reason: Option<String>,
    /// How often the loader has started.
    pub boots: u32,
}

/// What the supervisor knows and does.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: Folder,
    pub(super) settings: Settings,
    /// The words that begin a launcher's command line.
    pub(super) launcher: Vec<OsString>,
    pub(super) overlays: OverlayBuilder,
    /// The host's CPUs, if guests are distributed over them.
    pub(super) topology: Option<Topology>,
    pub(super) began: Instant,
    pub(super) started: u64,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) ending: watch::Sender<bool>,
    /// A guest has come up, or failed to.
    pub(super) settled: Notify,
    /// A batch was added.
    pub(super) batch_added: Notify,
    /// How many bytes of a guest's console are kept, at most; 0 sets no limit.
    console_limit: AtomicU64,
    inner: Mutex<Inner>,
}

/// The part that changes.
#[derive(Debug)]
pub(super) struct Inner {
    /// The number of the first guest.
    pub(super) first: u32,
    /// The guests by number.
    pub(super) entries: Vec<Entry>,
    pub(super) held: Option<String>,
    /// What a person has to know about the whole fleet as long as it runs.
    pub(super) notice: Option<String>,
    pub(super) template: Progress,
    /// The clones that have failed since one came up.
    pub(super) clone_failures: u32,
    pub(super) update: Option<Update>,
    /// Whether the update has to begin with no further guest.
    pub(super) stops_update: bool,
    pub(super) host: Host,
    pub(super) batches: VecDeque<Batch>,
    /// Whether a batch is being started.
    pub(super) has_batch: bool,
    /// Whether all guests are being stopped, so that none may be started.
    pub(super) is_ending: bool,
    pub(super) ports: Ports,
    history: History,
}

/// Guests that are started together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// The first guest.
    pub(super) first: u32,
    pub(super) request: StartRequest,
}

/// A guest, and what only the supervisor has to know about it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) guest: Guest,
    pub(super) watch: Watch,
    pub(super) tail: Tail,
    /// The start of QEMU, or its last reset.
    pub(super) booted: Instant,
    pub(super) qmp: Option<qmp::Client>,
    /// Whether its end was asked for.
    pub(super) is_stopping: bool,
    /// Whether a task runs it.
    pub(super) has_runner: bool,
    /// Why it could not continue from the template's state.
    pub(super) clone_error: Option<String>,
    /// Kills QEMU.
    pub(super) kill: Arc<Notify>,
    /// Those who wait for its end.
    pub(super) waiters: Vec<oneshot::Sender<()>>,
    /// CPU time in seconds, and when it was measured.
    pub(super) cpu_time: Option<(f64, Instant)>,
}

impl Entry {
    fn new(id: u32) -> Self {
        Self {
            guest: Guest {
                id,
                serial: identity::serial(id),
                host: identity::host(id),
                ..Guest::default()
            },
            watch: Watch::default(),
            tail: Tail::default(),
            booted: Instant::now(),
            qmp: None,
            is_stopping: false,
            has_runner: false,
            clone_error: None,
            kill: Arc::default(),
            waiters: Vec::new(),
            cpu_time: None,
        }
    }
}

impl Shared {
    pub(super) fn new(
        folder: &Folder,
        settings: Settings,
        launcher: Vec<OsString>,
    ) -> Result<Self, FleetError> {
        let topology = match settings.pin {
            Pin::None => None,
            Pin::Cores | Pin::Numa => Some(Topology::read(Path::new(placement::SYSFS))?),
        };
        Ok(Self {
            folder: folder.clone(),
            overlays: OverlayBuilder::new(&settings.image.path)?,
            topology,
            launcher,
            began: Instant::now(),
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |age| age.as_secs()),
            changes: broadcast::channel(CHANGES).0,
            ending: watch::channel(false).0,
            settled: Notify::new(),
            batch_added: Notify::new(),
            console_limit: AtomicU64::new(u64::from(settings.console_limit_mib) << 20),
            inner: Mutex::new(Inner {
                first: settings.first,
                entries: Vec::new(),
                held: None,
                notice: None,
                template: Progress::default(),
                clone_failures: 0,
                update: None,
                stops_update: false,
                host: crate::host::measure(),
                batches: VecDeque::new(),
                has_batch: false,
                is_ending: false,
                ports: Ports::default(),
                history: History::begin(folder)?,
            }),
            settings,
        })
    }

    /// Locks what changes. No task may wait for anything while it has it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the fleet's start.
    pub(super) fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Returns how many bytes of a guest's console are kept, at most; 0 if there is no limit.
    pub(super) fn console_limit(&self) -> u64 {
        self.console_limit.load(Ordering::Relaxed)
    }

    /// Lets the consoles' logs grow, because their file system cannot release parts of them.
    pub(super) fn lift_console_limit(&self, path: &Path, error: &std::io::Error) {
        if self.console_limit.swap(0, Ordering::Relaxed) > 0 {
            eprintln!(
                "the logs of consoles are not limited: no part of {} can be released: {error}",
                path.display()
            );
        }
    }

    /// Changes guest `id` by `change`, and tells everyone if its state or slot is another then.
    /// Returns `None` if there is no such guest.
    pub(super) fn change<T>(&self, id: u32, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let at = self.elapsed();
        let mut inner = self.lock();
        let entry = inner.entry(id)?;
        let before = (
            entry.guest.state,
            entry.guest.slot.clone(),
            entry.guest.reason.clone(),
            entry.guest.boots,
        );
        let result = change(entry);
        let guest = &mut entry.guest;
        let after = (
            guest.state,
            guest.slot.clone(),
            guest.reason.clone(),
            guest.boots,
        );
        if before == after {
            return Some(result);
        }
        if before.0 != guest.state {
            guest.since = at;
            if before.0.is_passing() && !guest.state.is_passing() {
                self.settled.notify_one();
            }
        }
        // Nobody need listen.
        let _ = self.changes.send(Change {
            id,
            previous: before.0,
            state: guest.state,
            slot: guest.slot.clone(),
            reason: guest.reason.clone(),
            boots: guest.boots,
        });
        let kind = EventKind::State {
            id,
            state: guest.state,
            slot: guest.slot.clone(),
            boot_seconds: guest.boot_seconds,
        };
        inner.record(at, kind);
        Some(result)
    }
}

impl Inner {
    /// Returns guest `id`.
    pub(super) fn entry(&mut self, id: u32) -> Option<&mut Entry> {
        let index = usize::try_from(id.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    /// Adds `count` guests, and returns the number of the first.
    pub(super) fn add(&mut self, count: u32) -> u32 {
        let first = self.next();
        let end = first.saturating_add(count);
        self.entries.extend((first..end).map(Entry::new));
        first
    }

    /// Returns whether guests that were asked for are still to be started.
    pub(super) fn is_starting(&self) -> bool {
        self.has_batch || !self.batches.is_empty()
    }

    /// Returns whether a guest was started so lately that its pages are new to the host.
    pub(super) fn has_new_guests(&self) -> bool {
        let mut running = self
            .entries
            .iter()
            .filter(|entry| entry.guest.pid.is_some());
        running.any(|entry| entry.booted.elapsed() < NEW)
    }

    /// Returns why starting is slowed down or has ended, or what else a person has to know.
    pub(super) fn held(&self) -> Option<String> {
        self.held.clone().or_else(|| self.notice.clone())
    }

    /// Returns how many guests there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// Returns the number that the next guest will have.
    pub(super) fn next(&self) -> u32 {
        self.first.saturating_add(self.count())
    }

    /// A clone did not continue from the template, and boots instead. Few failures in a row are the
    /// end of cloning.
    pub(super) fn clone_failed(&mut self, id: u32, error: &str) {
        eprintln!("guest {id} could not be cloned, and boots instead: {error}");
        self.clone_failures += 1;
        if self.clone_failures >= CLONE_FAILURES {
            self.give_up_clones(error);
        }
    }

    /// Has all further guests boot.
    pub(super) fn give_up_clones(&mut self, error: &str) {
        let notice = format!("guests cannot be cloned, and boot instead: {error}");
        if self.notice.is_none() {
            eprintln!("{notice}");
            self.notice = Some(notice);
        }
        self.template = Progress::Failed;
    }

    /// Adds an event to the history.
    pub(super) fn record(&mut self, at: f64, kind: EventKind) {
        if let Err(error) = self.history.record(&Event { at, kind }) {
            self.complain(&error);
        }
    }

    /// Writes the history to its file.
    pub(super) fn flush(&mut self) {
        if let Err(error) = self.history.flush() {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &std::io::Error) {
        self.held = Some(format!("the history cannot be written: {error}"));
    }
}
