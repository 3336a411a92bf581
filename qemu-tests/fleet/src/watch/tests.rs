// SPDX-License-Identifier: MIT OR Apache-2.0

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
