// SPDX-License-Identifier: MIT OR Apache-2.0

//! The decisions of a roll-out: which guest is updated when, what each observation means for it, and
//! when the whole roll-out stops. The supervisor carries the decisions out.
//!
//! Each guest passes through these steps:
//!
//! ```text
//! pending -> writing -> trying -> validated
//!               |          |----> reverted   (it runs its old slot again)
//!               |          '----> lost       (it runs neither slot)
//!               '-> failed                   (its other slot could not be written; it runs the old one)
//! ```
//!
//! The canaries come first. The others follow only if the share of canaries that did not end
//! validated is at most [`Options::tolerated`]; the same share of all finished guests stops the
//! roll-out later on. A stopped roll-out begins with no further guest, and sees those through that it
//! has begun with.

mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use step::Step;

use crate::model::Update;

/// The parameters of a roll-out.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is written, for people.
    pub source: String,
    /// The most guests that are written or tried at once, at least 1.
    pub concurrency: u32,
    /// The share of guests that go first, 0 to 1; 0 skips this stage. At least one guest otherwise.
    pub canary: f64,
    /// The largest share of finished guests that may have reverted, failed or been lost, 0 to 1.
    pub tolerated: f64,
    /// The longest time for one guest's writing, and for its trial, in seconds.
    pub patience: f64,
    /// How often the writing of one guest's slot is begun, at least 1.
    pub attempts: u32,
    /// Whether the new slot counts only once the guest has validated it. Without it, being up in the
    /// new slot is enough.
    pub on_trial: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: String::new(),
            concurrency: 4,
            canary: 0.0,
            tolerated: 0.5,
            patience: 300.0,
            attempts: 2,
            on_trial: true,
        }
    }
}

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the other slot of a running guest, or of a stopped one.
    Write(u32),
    /// Reboot a guest whose slot has been written, so that it tries it.
    Try(u32),
    /// Start a guest whose QEMU ended, or start it afresh because it hangs. Its disk stays.
    Restart(u32),
}

/// What the supervisor saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The other slot is written and on trial.
    Written,
    /// The other slot could not be written. The guest runs its old one.
    NotWritten(String),
    /// The guest is up in a slot.
    Up(String),
    /// The guest has ended the trial of a slot.
    Validated(String),
    /// QEMU ended.
    Ended(String),
}

/// A roll-out.
#[derive(Clone, Debug)]
pub struct Rollout {
    options: Options,
    guests: BTreeMap<u32, Progress>,
    canaries: BTreeSet<u32>,
    stage: Stage,
}

#[derive(Clone, Debug)]
struct Progress {
    step: Step,
    /// The slot that it ran at the beginning, and the one that it has to try.
    old: String,
    new: String,
    /// When the step began, in seconds.
    since: f64,
    /// How often writing was begun.
    attempts: u32,
    /// Whether it was started afresh because its trial took too long.
    restarted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Canary,
    All,
    Stopped(String),
}

/// A guest that takes part.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Its number.
    pub id: u32,
    /// The slot that it runs.
    pub old: String,
    /// The slot that is written.
    pub new: String,
}

impl Rollout {
    /// Plans a roll-out to `participants`.
    #[must_use]
    pub fn new(options: Options, participants: impl IntoIterator<Item = Participant>) -> Self {
        let guests: BTreeMap<u32, Progress> = participants
            .into_iter()
            .map(|Participant { id, old, new }| {
                let progress = Progress {
                    step: Step::Pending,
                    old,
                    new,
                    since: 0.0,
                    attempts: 0,
                    restarted: false,
                };
                (id, progress)
            })
            .collect();
        let canaries = canaries(options.canary, guests.keys().copied());
        let stage = if canaries.is_empty() {
            Stage::All
        } else {
            Stage::Canary
        };
        Self {
            options,
            guests,
            canaries,
            stage,
        }
    }

    /// Returns the step of a guest, if it takes part.
    #[must_use]
    pub fn step(&self, id: u32) -> Option<&Step> {
        self.guests.get(&id).map(|guest| &guest.step)
    }

    /// Returns the slot that a guest has to try, if it takes part.
    #[must_use]
    pub fn new_slot(&self, id: u32) -> Option<&str> {
        self.guests.get(&id).map(|guest| guest.new.as_str())
    }

    /// Returns how often the writing of a guest's slot was begun.
    #[must_use]
    pub fn attempts(&self, id: u32) -> u32 {
        self.guests.get(&id).map_or(0, |guest| guest.attempts)
    }

    /// Returns whether nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let stopped = matches!(self.stage, Stage::Stopped(_));
        let mut steps = self.guests.values().map(|guest| &guest.step);
        steps.all(|step| step.is_final() || (stopped && *step == Step::Pending))
    }

    /// Begins with no further guest, for example because the user asked for it.
    pub fn stop(&mut self, reason: &str) {
        if !matches!(self.stage, Stage::Stopped(_)) {
            self.stage = Stage::Stopped(reason.to_owned());
        }
    }

    /// Records what a guest did at `now` seconds; returns what to do about it.
    pub fn observe(&mut self, id: u32, what: &Observation, now: f64) -> Vec<Action> {
        let attempts = self.options.attempts;
        let on_trial = self.options.on_trial;
        let Some(guest) = self.guests.get_mut(&id) else {
            return Vec::new();
        };
        let action = match (&guest.step, what) {
            (Step::Writing, Observation::Written) => {
                guest.enter(Step::Trying, now);
                Some(Action::Try(id))
            }
            (Step::Writing, Observation::NotWritten(reason)) => {
                guest.retry(id, reason, attempts, now)
            }
            (Step::Writing, Observation::Ended(reason)) => {
                // The old slot is untouched, so the guest comes back in it.
                let again = guest.retry(id, reason, attempts, now);
                return std::iter::once(Action::Restart(id)).chain(again).collect();
            }
            // One that was killed when its slot had just been written tries it without being told.
            (Step::Trying | Step::Writing, Observation::Validated(slot)) if *slot == guest.new => {
                guest.enter(Step::Validated, now);
                None
            }
            (Step::Trying, Observation::Up(slot)) if *slot == guest.new && !on_trial => {
                guest.enter(Step::Validated, now);
                None
            }
            (Step::Trying, Observation::Up(slot) | Observation::Validated(slot))
                if *slot == guest.old =>
            {
                guest.enter(Step::Reverted, now);
                None
            }
            // A trial that is cut off counts, so the next boot decides. Guests that are done, or not
            // begun with, are started again as well: an update must not lose any.
            (_, Observation::Ended(_)) => Some(Action::Restart(id)),
            _ => None,
        };
        action.into_iter().collect()
    }

    /// Returns what to do at `now` seconds: guests to begin with, and guests whose time is up.
    pub fn advance(&mut self, now: f64) -> Vec<Action> {
        let mut actions = self.overdue(now);
        self.judge();
        let canary = match self.stage {
            Stage::Stopped(_) => return actions,
            Stage::Canary => true,
            Stage::All => false,
        };
        let busy = self.guests.values().filter(|guest| guest.step.is_busy());
        let busy = u32::try_from(busy.count()).unwrap_or(u32::MAX);
        let free = self.options.concurrency.max(1).saturating_sub(busy);
        let canaries = &self.canaries;
        let next = self
            .guests
            .iter_mut()
            .filter(|(id, guest)| guest.step == Step::Pending && (!canary || canaries.contains(id)))
            .take(free as usize);
        for (id, guest) in next {
            guest.attempts = 1;
            guest.enter(Step::Writing, now);
            actions.push(Action::Write(*id));
        }
        actions
    }

    /// Gives up on steps that took too long.
    fn overdue(&mut self, now: f64) -> Vec<Action> {
        let patience = self.options.patience;
        let mut actions = Vec::new();
        for (&id, guest) in &mut self.guests {
            if !guest.step.is_busy() || now - guest.since <= patience {
                continue;
            }
            if guest.step == Step::Writing {
                let reason = format!("its slot was not written within {patience:.0} s");
                guest.enter(Step::Failed(reason), now);
                actions.push(Action::Restart(id));
            } else if guest.restarted {
                let reason = format!("not up within {patience:.0} s, twice");
                guest.enter(Step::Lost(reason), now);
            } else {
                guest.restarted = true;
                guest.since = now;
                actions.push(Action::Restart(id));
            }
        }
        actions
    }

    /// Ends the canary stage, and stops a roll-out that goes wrong.
    fn judge(&mut self) {
        let is_canary = self.stage == Stage::Canary;
        if matches!(self.stage, Stage::Stopped(_)) {
            return;
        }
        let judged = self
            .guests
            .iter()
            .filter(|(id, _)| !is_canary || self.canaries.contains(id));
        let (mut finished, mut bad, mut open) = (0_u32, 0_u32, 0_u32);
        for (_, guest) in judged {
            if guest.step.is_final() {
                finished += 1;
                bad += u32::from(guest.step != Step::Validated);
            } else {
                open += 1;
            }
        }
        // The stage of all guests is judged once a first full group has finished: before that, one
        // bad guest among two would stop the roll-out.
        let enough = if is_canary {
            open == 0
        } else {
            finished >= self.options.concurrency.max(1) || open == 0
        };
        if !enough || finished == 0 {
            return;
        }
        if f64::from(bad) > self.options.tolerated * f64::from(finished) {
            let who = if is_canary { "canaries" } else { "guests" };
            self.stage = Stage::Stopped(format!("{bad} of {finished} {who} did not keep it"));
        } else if is_canary {
            self.stage = Stage::All;
        }
    }

    /// Returns the progress in numbers.
    #[must_use]
    pub fn progress(&self) -> Update {
        let stage = match &self.stage {
            Stage::Stopped(reason) => format!("stopped: {reason}"),
            _ if self.is_over() => "done".to_owned(),
            Stage::Canary => "canary".to_owned(),
            Stage::All => "roll-out".to_owned(),
        };
        let mut update = Update {
            source: self.options.source.clone(),
            stage,
            ..Update::default()
        };
        for guest in self.guests.values() {
            update.total += 1;
            *match guest.step {
                Step::Pending => &mut update.pending,
                Step::Writing => &mut update.writing,
                Step::Trying => &mut update.trying,
                Step::Validated => &mut update.validated,
                Step::Reverted => &mut update.reverted,
                Step::Failed(_) => &mut update.failed,
                Step::Lost(_) => &mut update.lost,
            } += 1;
        }
        update
    }

    /// Returns the guests that neither run the new slot nor wait for it, with the reason.
    pub fn troubled(&self) -> impl Iterator<Item = (u32, String)> {
        self.guests
            .iter()
            .filter_map(|(id, guest)| Some((*id, guest.step.trouble(&guest.old)?)))
    }
}

impl Progress {
    fn enter(&mut self, step: Step, now: f64) {
        self.step = step;
        self.since = now;
    }

    /// Begins to write again, or gives up.
    fn retry(&mut self, id: u32, reason: &str, attempts: u32, now: f64) -> Option<Action> {
        if self.attempts >= attempts {
            self.enter(Step::Failed(reason.to_owned()), now);
            return None;
        }
        self.attempts += 1;
        self.enter(Step::Writing, now);
        Some(Action::Write(id))
    }
}

/// Returns the first `share` of the guests, at least one if `share` is more than 0.
fn canaries(share: f64, ids: impl ExactSizeIterator<Item = u32>) -> BTreeSet<u32> {
    if share.is_nan() || share <= 0.0 {
        return BTreeSet::new();
    }
    let all = ids.len();
    let count = (all as f64 * share.min(1.0)).ceil();
    ids.take(count as usize).collect()
}
