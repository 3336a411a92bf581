// SPDX-License-Identifier: MIT OR Apache-2.0

//! Follows one guest: turns the signs on its console, and QEMU's events, into its state.

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
        guest.cloned = false;
        guest.slot = None;
        guest.reason = None;
        guest.version = None;
        guest.boot_seconds = None;
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
        guest.cloned = false;
        guest.slot = None;
        guest.reason = None;
        guest.version = None;
        guest.boot_seconds = None;
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

fn up_state(guest: &Guest) -> State {
    if guest.reason.as_deref() == Some("reverted") {
        State::Reverted
    } else {
        State::Up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::sign::recognise;

    struct Scene {
        guest: Guest,
        watch: Watch,
    }

    impl Scene {
        fn started() -> Self {
            let (mut guest, mut watch) = (Guest::default(), Watch::default());
            watch.started(&mut guest);
            Self { guest, watch }
        }

        fn lines(mut self, lines: &[&str]) -> Self {
            for line in lines {
                let sign = recognise(line, None).expect(line);
                self.watch.sign(&mut self.guest, sign, 2.5);
            }
            self
        }

        fn reset(mut self) -> Self {
            let by_guest = true;
            self.watch
                .event(&mut self.guest, MachineEvent::Reset { by_guest });
            self
        }

        fn is(self, state: State, message: Option<&str>) -> Self {
            assert_eq!(self.guest.state, state);
            assert_eq!(self.guest.message.as_deref(), message);
            self
        }
    }

    const BOOT: [&str; 3] = [
        "little-loader 0.1.0",
        "slot a: active, mmio@1",
        "kernel at EL1",
    ];
    const UP: &str = "fleet: up serial=LL00000001 slot=a reason=active version=1.0.0";

    #[test]
    fn a_boot_goes_through_its_states() {
        let scene = Scene::started().is(State::Starting, None);
        let scene = scene.lines(&BOOT[..1]).is(State::Loader, None);
        let scene = scene.lines(&BOOT[1..]).is(State::Kernel, None);
        let scene = scene.lines(&[UP]).is(State::Up, None);
        assert_eq!(scene.guest.boot_seconds, Some(2.5));
        assert_eq!(scene.guest.slot.as_deref(), Some("a"));
        assert_eq!(scene.guest.version.as_deref(), Some("1.0.0"));
        let mut scene = scene.reset().is(State::Starting, None);
        assert_eq!(scene.guest.boots, 2);
        // The slot that it boots now may have another, and may not say which.
        assert_eq!(scene.guest.version, None);
        scene = scene.lines(&["fleet: up slot=b version=2.0.0"]);
        assert_eq!(scene.guest.version.as_deref(), Some("2.0.0"));
    }

    #[test]
    fn a_reset_counts_once_if_its_event_is_late() {
        let scene = Scene::started().lines(&BOOT).lines(&[UP]);
        let late = scene.lines(&BOOT).lines(&[UP]).is(State::Up, None);
        assert_eq!((late.guest.boots, late.guest.boot_seconds), (2, None));
        let late = late.reset().is(State::Up, None);
        assert_eq!(late.guest.boots, 2);
        // The next event is one of its own.
        let next = late.reset().is(State::Starting, None).lines(&BOOT);
        let next = next.lines(&[UP]).is(State::Up, None);
        assert_eq!((next.guest.boots, next.guest.boot_seconds), (3, Some(2.5)));
    }

    #[test]
    fn a_guest_that_went_back_says_so() {
        let scene = Scene::started().lines(&["slot a: reverted, mmio@1", "fleet: up slot=none"]);
        let scene = scene.is(State::Reverted, None);
        scene
            .lines(&["fleet: validated slot=a"])
            .is(State::Up, None);
    }

    #[test]
    fn updates_show() {
        let scene = Scene::started().lines(&[UP, "fleet: updating slot=b"]);
        let scene = scene.is(State::Updating, None);
        let scene = scene.lines(&["fleet: update failed: disk full"]);
        scene.is(State::Up, Some("update failed: disk full"));
    }

    #[test]
    fn a_loop_is_recognised_and_left() {
        let panic = "Kernel panic - not syncing: cma: out of memory";
        let mut scene = Scene::started();
        for _ in 0..2 {
            scene = scene.lines(&BOOT).lines(&[panic]).reset();
            assert_eq!(scene.guest.state, State::Starting);
        }
        let text = "3 restarts without coming up; kernel panic: cma: out of memory";
        let scene = scene.lines(&BOOT).lines(&[panic]).reset();
        let scene = scene.is(State::Looping, Some(text));
        let scene = scene.lines(&BOOT).is(State::Looping, Some(text));
        let scene = scene.lines(&[panic]).is(State::Looping, Some(text));
        scene.lines(&[UP]).is(State::Up, None);
    }

    #[test]
    fn a_guest_that_reboots_while_up_does_not_loop() {
        let mut scene = Scene::started();
        for _ in 0..5 {
            scene = scene.lines(&[UP]).reset().is(State::Starting, None);
        }
    }

    #[test]
    fn a_clone_is_up_when_it_has_answered() {
        let mut scene = Scene::started();
        scene.watch.resuming(&mut scene.guest);
        let mut scene = scene.lines(&[UP]).is(State::Starting, None);
        assert!(scene.guest.cloned && scene.watch.is_resuming());
        let up = recognise(UP, None).unwrap();
        scene.watch.resumed(&mut scene.guest, up, 0.5);
        assert_eq!(scene.guest.boot_seconds, Some(0.5));
        assert_eq!(scene.guest.boots, 1);
        let scene = scene.is(State::Up, None).reset().is(State::Starting, None);
        assert!(!scene.guest.cloned);
        assert_eq!(scene.guest.boots, 2);
    }

    #[test]
    fn the_end_has_a_reason() {
        let end = |mut scene: Scene, wanted| {
            let ending = "QEMU ended with exit status 1: no such file".to_owned();
            scene.watch.ended(&mut scene.guest, wanted, ending);
            scene
        };
        end(Scene::started().lines(&[UP]), true).is(State::Stopped, None);
        let ended = Some("QEMU ended with exit status 1: no such file");
        end(Scene::started(), false).is(State::Gone, ended);
        let fatal = Scene::started().lines(&["little-loader: fatal: no block device"]);
        end(fatal, false).is(State::Fatal, Some("fatal: no block device"));
        let mut off = Scene::started();
        let event = MachineEvent::Shutdown("guest-shutdown".to_owned());
        off.watch.event(&mut off.guest, event);
        end(off, false).is(State::Gone, Some("the guest powered itself off"));
    }
}
