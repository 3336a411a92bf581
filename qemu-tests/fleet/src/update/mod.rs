// SPDX-License-Identifier: MIT OR Apache-2.0

//! Updates of a running fleet: carries out the decisions of a [`Rollout`].

mod host;
pub mod plan;
mod server;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;

use crate::error::FleetError;
use crate::model::{Guest, State, Update};
use crate::rollout::{Action, Observation, Options, Participant, Rollout, Step};
use crate::supervisor::{Change, Handle};
use plan::{Plan, Source};
use work::{Done, Work};

/// How often guests whose time is up are looked for.
const TICK: Duration = Duration::from_millis(500);

/// Begins an update and returns the number of guests that take part. The update goes on until every
/// guest is accounted for, or [`Handle::end`] is called.
///
/// # Errors
///
/// When another update is under way, its files cannot be used, or no guest can take part.
pub async fn begin(handle: &Handle, plan: Plan) -> Result<u32, FleetError> {
    let status = handle.status();
    if status.update.as_ref().is_some_and(Update::is_running) {
        return Err(FleetError::Refused(
            "an update is under way; `status` shows it, and `update --stop` begins with no further guest".to_owned(),
        ));
    }
    let participants: Vec<Participant> = status
        .guests
        .iter()
        .filter_map(|guest| participant(guest, plan.slot.as_deref()))
        .collect();
    let Ok(count) = u32::try_from(participants.len()) else {
        return Err(FleetError::Refused("too many guests".to_owned()));
    };
    if count == 0 {
        return Err(FleetError::Refused(nobody(&status.guests, &plan)));
    }
    let options = Options {
        source: plan.source.to_string(),
        concurrency: plan.concurrency,
        canary: plan.canary,
        tolerated: plan.tolerated,
        patience: plan.patience,
        attempts: 2,
        on_trial: plan.source != Source::Rollback && !plan.up_is_enough,
    };
    let work = Work::new(handle, plan).await?;
    let rollout = Rollout::new(options, participants);
    handle.set_update(rollout.progress());
    let conductor = Conductor {
        handle: handle.clone(),
        rollout,
        work,
        tried: BTreeMap::new(),
        writing: BTreeMap::new(),
    };
    // Changes from now on are seen, so none is lost between the status and the first action.
    let changes = handle.changes();
    tokio::spawn(conductor.conduct(changes));
    Ok(count)
}

/// Returns the part that a guest takes, if it is up in a known slot that is to be left.
fn participant(guest: &Guest, slot: Option<&str>) -> Option<Participant> {
    let old = guest.slot.clone().filter(|_| guest.state.is_up())?;
    let other = if old == "a" { "b" } else { "a" };
    if slot.is_some_and(|slot| slot != other) {
        return None;
    }
    Some(Participant {
        id: guest.id,
        old,
        new: other.to_owned(),
    })
}

fn nobody(guests: &[Guest], plan: &Plan) -> String {
    let up = guests.iter().filter(|guest| guest.state.is_up()).count();
    match &plan.slot {
        Some(slot) if up > 0 => format!("all guests that are up run slot {slot} already"),
        _ => format!("no guest of {} is up in a known slot", guests.len()),
    }
}

/// Carries out one roll-out.
struct Conductor {
    handle: Handle,
    rollout: Rollout,
    work: Work,
    /// How often each guest had booted when it was told to try its new slot.
    tried: BTreeMap<u32, u32>,
    /// The last attempts to write the guests' slots.
    writing: BTreeMap<u32, AbortHandle>,
}

impl Conductor {
    async fn conduct(mut self, mut changes: broadcast::Receiver<Change>) {
        let (sender, mut done) = mpsc::unbounded_channel();
        let mut tick = tokio::time::interval(TICK);
        loop {
            let actions = tokio::select! {
                () = self.handle.ending() => return,
                _ = tick.tick() => Vec::new(),
                Some(done) = done.recv() => self.finished(&done),
                change = changes.recv() => match change {
                    Ok(change) => self.changed(change.id),
                    Err(broadcast::error::RecvError::Closed) => return,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.look_at_all(),
                },
            };
            if self.handle.update_is_to_stop() {
                self.rollout.stop("on request");
            }
            let now = self.handle.elapsed();
            let next = self.rollout.advance(now);
            for action in actions.into_iter().chain(next) {
                self.act(&action, &sender);
            }
            self.handle.set_update(self.rollout.progress());
            if self.rollout.is_over() {
                break;
            }
        }
        for (id, trouble) in self.rollout.troubled() {
            // The guest exists: it took part.
            let _ = self.handle.edit(id, |guest| {
                guest.message = Some(format!("update: {trouble}"));
            });
        }
        self.handle.flush();
    }

    fn act(&mut self, action: &Action, sender: &mpsc::UnboundedSender<Done>) {
        if let Action::Try(id) = action {
            let boots = self.handle.guest(*id).map_or(0, |guest| guest.boots);
            self.tried.insert(*id, boots);
        }
        let slot = match action {
            Action::Write(id) | Action::Try(id) | Action::Restart(id) => {
                self.rollout.new_slot(*id).unwrap_or_default().to_owned()
            }
        };
        let attempt = match action {
            Action::Write(id) => self.rollout.attempts(*id),
            Action::Try(_) | Action::Restart(_) => 0,
        };
        let work = self
            .work
            .start(action.clone(), slot, attempt, sender.clone());
        // An earlier attempt that still waits for the guest would write its slot twice.
        if let Action::Write(id) = action
            && let Some(earlier) = self.writing.insert(*id, work)
        {
            earlier.abort();
        }
    }

    /// Takes the end of what was done to a guest.
    fn finished(&mut self, done: &Done) -> Vec<Action> {
        if done.attempt > 0 && done.attempt != self.rollout.attempts(done.id) {
            return Vec::new();
        }
        let now = self.handle.elapsed();
        self.rollout.observe(done.id, &done.observation, now)
    }

    /// Looks at every guest, after changes were missed.
    fn look_at_all(&mut self) -> Vec<Action> {
        let ids = self.handle.ids();
        ids.into_iter().flat_map(|id| self.changed(id)).collect()
    }

    /// Looks at a guest that has changed.
    fn changed(&mut self, id: u32) -> Vec<Action> {
        let (Some(step), Ok(guest)) = (self.rollout.step(id), self.handle.guest(id)) else {
            return Vec::new();
        };
        let is_trying = *step == Step::Trying;
        let tried = self.tried.get(&id).copied();
        let Some(what) = observation(&guest, is_trying, tried) else {
            return Vec::new();
        };
        self.rollout.observe(id, &what, self.handle.elapsed())
    }
}

/// Returns what the state of a guest means for its update. `tried` is how often it had booted when it
/// was told to try its new slot.
fn observation(guest: &Guest, is_trying: bool, tried: Option<u32>) -> Option<Observation> {
    let message = || guest.message.clone().unwrap_or_default();
    match guest.state {
        // A fatal error of the loader powers the machine off.
        State::Gone | State::Fatal if guest.pid.is_none() => Some(Observation::Ended(message())),
        // What it says before the reboot belongs to its old slot.
        State::Up | State::Reverted
            if is_trying && tried.is_some_and(|boots| guest.boots > boots) =>
        {
            let slot = guest.slot.clone()?;
            let on_trial = guest.reason.as_deref() == Some("trial");
            Some(if on_trial {
                Observation::Up(slot)
            } else {
                Observation::Validated(slot)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(state: State, slot: &str, reason: &str) -> Guest {
        Guest {
            id: 1,
            state,
            slot: Some(slot.to_owned()),
            reason: Some(reason.to_owned()),
            boots: 2,
            ..Guest::default()
        }
    }

    #[test]
    fn only_guests_that_are_up_in_the_other_slot_take_part() {
        let up = guest(State::Up, "a", "active");
        assert_eq!(
            participant(&up, None).map(|part| part.new),
            Some("b".into())
        );
        assert!(participant(&up, Some("b")).is_some());
        assert!(participant(&up, Some("a")).is_none());
        assert!(participant(&guest(State::Kernel, "a", "active"), None).is_none());
        let unknown = Guest {
            state: State::Up,
            ..Guest::default()
        };
        assert!(participant(&unknown, None).is_none());
    }

    #[test]
    fn a_boot_before_the_trial_says_nothing_about_it() {
        let validated = guest(State::Up, "b", "active");
        assert_eq!(observation(&validated, true, Some(2)), None);
        assert_eq!(
            observation(&validated, true, Some(1)),
            Some(Observation::Validated("b".to_owned()))
        );
        assert_eq!(observation(&validated, false, Some(1)), None);
        assert_eq!(
            observation(&guest(State::Up, "b", "trial"), true, Some(1)),
            Some(Observation::Up("b".to_owned()))
        );
    }

    #[test]
    fn a_guest_that_ends_is_seen_in_every_step() {
        for state in [State::Gone, State::Fatal] {
            let ended = observation(&guest(state, "a", "active"), false, None);
            assert!(matches!(ended, Some(Observation::Ended(_))));
        }
        // The host stopped it in order to write its disk.
        assert_eq!(
            observation(&guest(State::Stopped, "a", ""), true, Some(1)),
            None
        );
    }
}
