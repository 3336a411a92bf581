// SPDX-License-Identifier: MIT OR Apache-2.0

//! Follows one guest: turns the signs on its console, and QEMU's events, into its state.

#[cfg(test)]
mod tests;

use crate::console::sign::Sign;
use crate::model::{Guest, State};

/// How often a guest may restart without coming up before it counts as looping.
const RESTARTS: u32 = 3;

/// What is remembered of a guest apart from its status.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Restarts since it was last up.
    restarts: u32,
    /// The last panic since it was last up.
    panic: Option<String>,
    /// Whether a reset was asked for from outside and is not a sign of trouble.
    expects_reset: bool,
    /// Whether the loader has printed its first line since the last reset.
    has_loader: bool,
    /// Resets that the console showed before QEMU's event came.
    ahead: u32,
    /// Whether it is unknown when the boot began, because the console showed it first.
    is_untimed: bool,
    /// Whether it is a clone that has not answered yet.
    is_resuming: bool,
    /// What stopped the virtual machine, as QEMU's last event says.
    shutdown: Option<String>,
}

/// What QEMU reports about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineEvent {
    /// It was reset; whether by the guest.
    Reset {
        /// Whether the guest asked for it.
        by_guest: bool,
    },
    /// It was powered off; the reason.
    Shutdown(String),
    /// The guest reports a panic by a device.
    Panicked,
    /// Its CPUs were stopped.
    Paused,
    /// Its CPUs go on.
    Resumed,
    /// A disk request failed; the reason.
    DiskError(String),
}

impl Watch {
    /// QEMU was started.
    pub fn started(&mut self, guest: &mut Guest) {
        self.begun(guest);
        guest.boots += 1;
    }

    /// QEMU was started to continue from the state of a template, so that no loader runs.
    pub fn resuming(&mut self, guest: &mut Guest) {
        self.begun(guest);
        self.is_resuming = true;
        guest.cloned = true;
    }

    fn begun(&mut self, guest: &mut Guest) {
        *self = Self::default();
        guest.state = State::Starting;
        forget_boot(guest);
        guest.message = None;
    }

    /// A clone has answered with its own identity; `up` says what it answered.
    pub fn resumed(&mut self, guest: &mut Guest, up: Sign, boot_seconds: f64) {
        if std::mem::take(&mut self.is_resuming) {
            self.sign(guest, up, boot_seconds);
        }
    }

    /// Returns whether it is a clone that has not answered yet.
    #[must_use]
    pub fn is_resuming(&self) -> bool {
        self.is_resuming
    }

    /// A reset from outside comes.
    pub fn expect_reset(&mut self) {
        self.expects_reset = true;
    }

    /// Takes a sign from the console. `boot_seconds` is the time since QEMU's start or the last
    /// reset.
    pub fn sign(&mut self, guest: &mut Guest, sign: Sign, boot_seconds: f64) {
        // Until a clone has its own identity, its lines are not its own.
        if self.is_resuming {
            return;
        }
        match sign {
            Sign::Loader => {
                // A boot has one such line. On a busy host, the event of a reset may come after the
                // console has shown what followed.
                if self.has_loader {
                    self.reset(guest);
                    self.ahead += 1;
                    self.is_untimed = true;
                }
                self.has_loader = true;
                self.advance(guest, State::Loader);
            }
            Sign::Slot { slot, reason } => {
                self.advance(guest, State::Loader);
                guest.slot = Some(slot);
                guest.reason = Some(reason);
            }
            Sign::Fatal(why) => {
                guest.state = State::Fatal;
                guest.message = Some(format!("fatal: {why}"));
            }
            Sign::Kernel => self.advance(guest, State::Kernel),
            Sign::Panic(why) => {
                let message = format!("kernel panic: {why}");
                self.panic = Some(message.clone());
                // The message about the loop names the panic, and says how often it came.
                if guest.state != State::Looping {
                    guest.message = Some(message);
                }
            }
            Sign::Up {
                slot,
                reason,
                version,
            } => {
                guest.slot = slot.or(guest.slot.take());
                guest.reason = reason.or(guest.reason.take());
                guest.version = version.or(guest.version.take());
                if guest.state.is_up() {
                    return;
                }
                guest.boot_seconds = Some(boot_seconds).filter(|_| !self.is_untimed);
                guest.message = None;
                self.restarts = 0;
                self.panic = None;
                guest.state = up_state(guest);
            }
            Sign::Validated(slot) => {
                guest.slot = Some(slot);
                guest.reason = Some("active".to_owned());
                if guest.state == State::Reverted {
                    guest.state = State::Up;
                }
            }
            Sign::Updating(_) => guest.state = State::Updating,
            Sign::Updated(slot) => {
                guest.message = Some(format!(
                    "slot {slot} is written, and tried at the next boot"
                ));
                if guest.state == State::Updating {
                    guest.state = up_state(guest);
                }
            }
            Sign::UpdateFailed(why) => {
                guest.message = Some(format!("update failed: {why}"));
                if guest.state == State::Updating {
                    guest.state = up_state(guest);
                }
            }
            Sign::Complaint(text) => guest.message = Some(text),
        }
    }

    /// Takes an event of QEMU.
    pub fn event(&mut self, guest: &mut Guest, event: MachineEvent) {
        match event {
            MachineEvent::Reset { .. } if self.ahead > 0 => self.ahead -= 1,
            MachineEvent::Reset { .. } => self.reset(guest),
            MachineEvent::Shutdown(reason) => self.shutdown = Some(reason),
            MachineEvent::Panicked => {
                let message = "kernel panic, reported by pvpanic".to_owned();
                self.panic.get_or_insert(message.clone());
                guest.message.get_or_insert(message);
            }
            MachineEvent::Paused => {
                guest
                    .message
                    .get_or_insert_with(|| "the CPUs are stopped".to_owned());
            }
            MachineEvent::Resumed => {
                if guest.message.as_deref() == Some("the CPUs are stopped") {
                    guest.message = None;
                }
            }
            MachineEvent::DiskError(why) => {
                guest.message = Some(format!("a disk request failed on the host: {why}"));
            }
        }
    }

    fn reset(&mut self, guest: &mut Guest) {
        self.is_resuming = false;
        self.has_loader = false;
        self.is_untimed = false;
        guest.boots += 1;
        forget_boot(guest);
        // A restart of a guest that was up begins a boot like any other.
        let was_up = guest.state.is_up() || guest.state == State::Updating;
        if std::mem::take(&mut self.expects_reset) || was_up {
            self.restarts = 0;
        } else {
            self.restarts += 1;
        }
        if self.restarts >= RESTARTS {
            let why = self.panic.as_deref().unwrap_or("no reason on its console");
            guest.message = Some(format!(
                "{} restarts without coming up; {why}",
                self.restarts
            ));
            guest.state = State::Looping;
        } else {
            guest.state = State::Starting;
        }
    }

    /// QEMU ended. `wanted` says whether it was asked to, `ending` how, with its last line on
    /// stderr.
    pub fn ended(&mut self, guest: &mut Guest, wanted: bool, ending: String) {
        guest.pid = None;
        guest.port = None;
        guest.uptime = None;
        guest.memory = None;
        guest.cpu = None;
        guest.cloned = false;
        if wanted {
            guest.state = State::Stopped;
            guest.message = None;
        } else if guest.state != State::Fatal {
            guest.state = State::Gone;
            guest.message = Some(match (&self.panic, self.shutdown.as_deref()) {
                (Some(panic), _) => panic.clone(),
                (None, Some("guest-shutdown")) => "the guest powered itself off".to_owned(),
                _ => ending,
            });
        }
    }

    /// Enters a state of the boot, unless the guest loops, which a boot that fails does not end.
    fn advance(&self, guest: &mut Guest, state: State) {
        if guest.state != State::Looping {
            guest.state = state;
        }
    }
}

/// Forgets what was known of the boot before.
fn forget_boot(guest: &mut Guest) {
    guest.cloned = false;
    guest.slot = None;
    guest.reason = None;
    guest.version = None;
    guest.boot_seconds = None;
}

fn up_state(guest: &Guest) -> State {
    if guest.reason.as_deref() == Some("reverted") {
        State::Reverted
    } else {
        State::Up
    }
}
