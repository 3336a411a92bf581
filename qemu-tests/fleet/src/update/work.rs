// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an update does to single guests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use little_loader_core::env::place::EnvPlace;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::host;
use super::plan::{Plan, Source, Way};
use super::server::Server;
use crate::error::FleetError;
use crate::model::{Guest, State};
use crate::rollout::{Action, Observation};
use crate::supervisor::Handle;

/// How often a guest is looked at that has to come up.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a guest may take to answer a short command.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a guest may take to power off by itself.
const POWER_OFF: Duration = Duration::from_secs(30);

/// The end of an action.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) id: u32,
    /// Which attempt to write its slot ended, from 1; 0 for other actions.
    pub(super) attempt: u32,
    pub(super) observation: Observation,
}

/// Carries out actions.
#[derive(Clone, Debug)]
pub(super) struct Work {
    handle: Handle,
    plan: Arc<Plan>,
    server: Option<Arc<Server>>,
    /// Where the loader looks for the environment.
    place: EnvPlace,
}

impl Work {
    /// Checks the files, and serves an archive to the guests.
    pub(super) async fn new(handle: &Handle, plan: Plan) -> Result<Self, FleetError> {
        let server = match &plan.source {
            Source::Archive(archive) if plan.way != Way::Host => {
                let server = Server::start(archive).await;
                Some(Arc::new(server.map_err(FleetError::io("serve", archive))?))
            }
            _ => None,
        };
        Ok(Self {
            handle: handle.clone(),
            plan: Arc::new(plan),
            server,
            place: handle.settings().env_place(),
        })
    }

    /// Begins an action for a guest whose new slot is `slot`, and reports its end. `attempt` counts
    /// the attempts to write the slot from 1, and is 0 for other actions.
    pub(super) fn start(
        &self,
        action: Action,
        slot: String,
        attempt: u32,
        done: UnboundedSender<Done>,
    ) -> AbortHandle {
        let work = self.clone();
        let task = tokio::spawn(async move {
            let (id, observation) = match action {
                Action::Write(id) => (id, work.write(id, &slot, attempt > 1).await),
                Action::Try(id) => (id, work.try_slot(id).await),
                Action::Restart(id) => (id, work.restart(id).await),
            };
            if let Some(observation) = observation {
                // The update may have ended meanwhile.
                let _ = done.send(Done {
                    id,
                    attempt,
                    observation,
                });
            }
        });
        task.abort_handle()
    }

    /// Writes the slot of a guest; `again` says whether it may have been written already.
    async fn write(&self, id: u32, slot: &str, again: bool) -> Option<Observation> {
        if again {
            match self.settled_in(id, slot).await {
                Ok(true) => return Some(Observation::Validated(slot.to_owned())),
                Ok(false) => {}
                Err(reason) => return Some(Observation::NotWritten(reason)),
            }
        }
        let before = match self.wait_until_up(id).await {
            Ok(guest) => guest,
            Err(reason) => return Some(Observation::NotWritten(reason)),
        };
        let written = match self.by_guest(&before).await {
            Some(answer) => answer,
            None => self.by_host(id, slot).await,
        };
        match written {
            Ok(()) => Some(Observation::Written),
            Err(reason) => {
                // If QEMU was killed, its end is observed anyway, and the guest is to be restarted.
                sleep(PAUSE).await;
                let now = self.handle.guest(id).ok()?;
                let was_stopped = now.state == State::Stopped;
                if now.pid == before.pid || was_stopped {
                    if was_stopped {
                        // The host could not write its disk; it goes on in its old slot.
                        let _ = self.handle.launch(id);
                    }
                    return Some(Observation::NotWritten(reason));
                }
                None
            }
        }
    }

    /// Has the guest write its other slot. `None` if it cannot, and the host has to.
    async fn by_guest(&self, guest: &Guest) -> Option<Result<(), String>> {
        let command = match (&self.plan.source, &self.server) {
            _ if self.plan.way == Way::Host => return None,
            (Source::Archive(_), Some(server)) => format!("update {}", server.url()),
            (Source::Rollback, _) => "revert".to_owned(),
            _ => return None,
        };
        if guest.port.is_none() && self.plan.way == Way::Auto {
            return None;
        }
        let patience = Duration::from_secs_f64(self.plan.patience);
        let answer = match self.handle.agent(guest.id, &command, patience).await {
            Ok(answer) => answer,
            Err(error) => return Some(Err(error.to_string())),
        };
        let last = answer.trim_end().lines().next_back().unwrap_or_default();
        match last.strip_prefix("failed ") {
            Some(reason) if reason.contains("no updater") && self.plan.way == Way::Auto => None,
            Some(reason) => Some(Err(reason.to_owned())),
            None if last.starts_with("updated") || last == "ok" => Some(Ok(())),
            None => Some(Err(format!("the guest's agent answered {last:?}"))),
        }
    }

    /// Stops the guest and writes its disk.
    async fn by_host(&self, id: u32, slot: &str) -> Result<(), String> {
        self.power_off(id)
            .await
            .map_err(|error| error.to_string())?;
        let disk: PathBuf = self.handle.folder().disk(id);
        let (plan, slot, place) = (self.plan.clone(), slot.to_owned(), self.place);
        let written =
            tokio::task::spawn_blocking(move || host::write(&plan.source, &slot, &disk, place));
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Ends a guest so that its file systems are whole, if it can be asked to.
    async fn power_off(&self, id: u32) -> Result<(), FleetError> {
        let guest = self.handle.guest(id)?;
        self.handle.expect_end(id);
        let asked = match guest.port {
            Some(_) => self.handle.agent(id, "poweroff", ANSWER).await.is_ok(),
            None => self.handle.qmp(id, "system_powerdown", None).await.is_ok(),
        };
        let deadline = Instant::now() + POWER_OFF;
        while asked && Instant::now() < deadline && self.handle.guest(id)?.pid.is_some() {
            sleep(PAUSE).await;
        }
        self.handle.stop(id).await
    }

    /// Reboots a guest, or starts it if the host has written its disk.
    async fn try_slot(&self, id: u32) -> Option<Observation> {
        let guest = self.handle.guest(id).ok()?;
        if guest.pid.is_none() {
            let started = self.handle.launch(id);
            return started
                .err()
                .map(|error| Observation::Ended(error.to_string()));
        }
        let asked = match guest.port {
            Some(_) => self.handle.agent(id, "reboot", ANSWER).await.is_ok(),
            None => false,
        };
        if !asked {
            // What goes wrong shows in the guest's state.
            let _ = self.handle.reset(id).await;
        }
        None
    }

    async fn restart(&self, id: u32) -> Option<Observation> {
        let restarted = self.handle.restart(id).await;
        restarted
            .err()
            .map(|error| Observation::Ended(error.to_string()))
    }

    /// Returns whether guest `id` runs `slot` for good, once it is up and on no trial: it may have
    /// written its slot before it ended, and tries it when it is started again. To write then would
    /// overwrite its old system.
    async fn settled_in(&self, id: u32, slot: &str) -> Result<bool, String> {
        let deadline = Instant::now() + Duration::from_secs_f64(self.plan.patience);
        loop {
            let guest = self.wait_until_up(id).await?;
            if guest.slot.as_deref() != Some(slot) {
                return Ok(false);
            }
            if self.plan.up_is_enough || guest.reason.as_deref() != Some("trial") {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Err(format!("it does not end its trial of slot {slot}"));
            }
            sleep(PAUSE).await;
        }
    }

    async fn wait_until_up(&self, id: u32) -> Result<Guest, String> {
        let deadline = Instant::now() + Duration::from_secs_f64(self.plan.patience);
        loop {
            let guest = self.handle.guest(id).map_err(|error| error.to_string())?;
            if guest.state.is_up() {
                return Ok(guest);
            }
            if Instant::now() > deadline {
                return Err(format!("it is not up but {}", guest.state));
            }
            sleep(PAUSE).await;
        }
    }
}
