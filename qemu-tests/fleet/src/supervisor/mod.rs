// SPDX-License-Identifier: MIT OR Apache-2.0

//! The supervisor: one process, with one thread, that starts the guests of a fleet, follows them
//! and does what it is asked for through a [`Handle`] or its socket.

mod consoles;
mod handle;
mod history;
mod merger;
mod ports;
mod runner;
mod sampler;
mod serve;
mod shared;
mod spawn;
mod starter;
mod template;

pub use handle::Handle;
pub use shared::Change;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::clones;
use crate::error::FleetError;
use crate::folder::{Folder, Lock};
use crate::ksm::{self, Merging};
use crate::settings::Settings;

/// A fleet's supervisor. Only one thread may use it: the guests end with the thread that starts
/// them.
#[derive(Debug)]
pub struct Supervisor {
    runtime: Runtime,
    handle: Handle,
    _lock: Lock,
}

impl Supervisor {
    /// Takes `folder`, and listens on its socket. Guests continue with the disks that are there, which
    /// `fresh` discards first. `launcher` are the words that make a process the
    /// launcher of a guest when [`launch::Orders::words`](crate::launch::Orders::words) follow.
    ///
    /// # Errors
    /// When another supervisor has the folder, its disks belong to another image, or it cannot be
    /// written.
    pub fn new(
        folder: &Folder,
        settings: Settings,
        fresh: bool,
        launcher: Vec<OsString>,
    ) -> Result<Self, FleetError> {
        let lock = folder.lock()?;
        clones::remove_memory(&folder.template_memory())?;
        if fresh {
            folder.discard_guests()?;
        }
        folder.check_image(&settings)?;
        settings.write(&folder.settings())?;
        let merging = settings.ksm.then(|| Merging::begin(Path::new(ksm::SYSFS)));
        let merging = merging.transpose()?;
        let failed = |source: io::Error| FleetError::io("supervise", folder.root())(source);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let handle = Handle::new(folder, settings, launcher)?;
        let listener = {
            let _guard = runtime.enter();
            serve::listen(folder)?
        };
        runtime.spawn(serve::serve(listener, handle.clone()));
        runtime.spawn(consoles::follow(handle.clone()));
        runtime.spawn(sampler::sample(handle.clone()));
        runtime.spawn(starter::start(handle.clone()));
        if let Some(merging) = merging {
            runtime.spawn(merger::merge(handle.clone(), merging));
        }
        Ok(Self {
            runtime,
            handle,
            _lock: lock,
        })
    }

    /// Returns a handle, which can be used from all threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs `work` beside the supervisor's own tasks.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Supervises until [`Handle::end`] is called, or SIGINT, SIGTERM or SIGHUP arrives; then stops
    /// all guests.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub fn run(self) -> Result<(), FleetError> {
        let handle = self.handle.clone();
        let ended = self.runtime.block_on(async move {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hang_up = signal(SignalKind::hangup())?;
            tokio::select! {
                () = handle.ending() => {}
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            handle.end();
            handle.stop_all().await;
            handle.flush();
            clones::remove_memory(&handle.folder().template_memory()).map_err(io::Error::other)?;
            io::Result::Ok(())
        });
        ended.map_err(FleetError::io(
            "receive signals for",
            self.handle.folder().root(),
        ))?;
        let remove = self
            .handle
            .folder()
            .with_control_socket(|path| std::fs::remove_file(path));
        remove.map_err(FleetError::io(
            "remove the socket of",
            self.handle.folder().root(),
        ))
    }
}
