// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn rollout(count: u32, options: Options) -> Rollout {
    let participants = (1..=count).map(|id| Participant {
        id,
        old: "a".to_owned(),
        new: "b".to_owned(),
    });
    Rollout::new(options, participants)
}

fn ids(actions: &[Action]) -> Vec<u32> {
    let ids = actions.iter().map(|action| match action {
        Action::Write(id) | Action::Try(id) | Action::Restart(id) => *id,
    });
    ids.collect()
}

fn up(slot: &str) -> Observation {
    Observation::Up(slot.to_owned())
}

fn validated(slot: &str) -> Observation {
    Observation::Validated(slot.to_owned())
}

/// Brings a guest that is being written to the end of its trial.
fn finish(rollout: &mut Rollout, id: u32, good: bool, now: f64) {
    let tried = rollout.observe(id, &Observation::Written, now);
    assert_eq!(tried, [Action::Try(id)]);
    // The new slot comes up in either case; only a good one is validated.
    assert!(rollout.observe(id, &up("b"), now).is_empty());
    let last = if good { validated("b") } else { up("a") };
    assert!(rollout.observe(id, &last, now).is_empty());
}

#[test]
fn good_updates_reach_every_guest_a_few_at_a_time() {
    let options = Options {
        concurrency: 3,
        ..Options::default()
    };
    let mut rollout = rollout(8, options);
    let mut now = 0.0;
    let mut begun = Vec::new();
    while !rollout.is_over() {
        let actions = rollout.advance(now);
        assert!(actions.len() <= 3, "{actions:?}");
        for id in ids(&actions) {
            begun.push(id);
            finish(&mut rollout, id, true, now);
        }
        now += 1.0;
    }
    assert_eq!(begun, [1, 2, 3, 4, 5, 6, 7, 8]);
    let progress = rollout.progress();
    assert_eq!((progress.validated, progress.stage.as_str()), (8, "done"));
    assert_eq!(rollout.troubled().count(), 0);
}

#[test]
fn bad_canaries_stop_the_rest() {
    let options = Options {
        concurrency: 10,
        canary: 0.2,
        tolerated: 0.5,
        ..Options::default()
    };
    let mut rollout = rollout(10, options);
    assert_eq!(ids(&rollout.advance(0.0)), [1, 2]);
    finish(&mut rollout, 1, false, 1.0);
    assert!(rollout.advance(1.0).is_empty(), "the other canary is open");
    finish(&mut rollout, 2, false, 2.0);
    assert!(rollout.advance(3.0).is_empty());
    assert!(rollout.is_over());
    let progress = rollout.progress();
    assert_eq!(progress.stage, "stopped: 2 of 2 canaries did not keep it");
    assert_eq!((progress.reverted, progress.pending), (2, 8));
    assert_eq!(
        rollout.troubled().next(),
        Some((1, "went back to slot a".to_owned()))
    );
}

#[test]
fn good_canaries_release_the_rest() {
    let options = Options {
        canary: 0.01,
        ..Options::default()
    };
    let mut rollout = rollout(5, options);
    assert_eq!(ids(&rollout.advance(0.0)), [1]);
    finish(&mut rollout, 1, true, 1.0);
    assert_eq!(ids(&rollout.advance(1.0)), [2, 3, 4, 5]);
}

#[test]
fn a_guest_that_is_killed_while_its_slot_is_written_starts_again_and_is_written_again() {
    let mut rollout = rollout(1, Options::default());
    rollout.advance(0.0);
    let killed = Observation::Ended("signal 9".to_owned());
    let actions = rollout.observe(1, &killed, 1.0);
    assert_eq!(actions, [Action::Restart(1), Action::Write(1)]);
    assert_eq!(rollout.observe(1, &killed, 2.0), [Action::Restart(1)]);
    assert_eq!(rollout.step(1), Some(&Step::Failed("signal 9".to_owned())));
    assert!(rollout.is_over());
}

#[test]
fn a_guest_that_is_killed_after_its_slot_was_written_is_not_written_again() {
    let mut rollout = rollout(1, Options::default());
    rollout.advance(0.0);
    assert_eq!(rollout.attempts(1), 1);
    rollout.observe(1, &Observation::Ended("signal 9".to_owned()), 1.0);
    assert_eq!(rollout.attempts(1), 2);
    assert!(rollout.observe(1, &validated("b"), 2.0).is_empty());
    assert_eq!(rollout.step(1), Some(&Step::Validated));
}

#[test]
fn a_guest_that_is_killed_in_its_trial_starts_again_and_the_boot_decides() {
    for (slot, step) in [("a", Step::Reverted), ("b", Step::Validated)] {
        let mut rollout = rollout(1, Options::default());
        rollout.advance(0.0);
        rollout.observe(1, &Observation::Written, 1.0);
        let killed = Observation::Ended("signal 9".to_owned());
        assert_eq!(rollout.observe(1, &killed, 2.0), [Action::Restart(1)]);
        rollout.observe(1, &validated(slot), 3.0);
        assert_eq!(rollout.step(1), Some(&step));
    }
}

#[test]
fn a_silent_guest_is_started_once_more_and_then_lost() {
    let options = Options {
        patience: 10.0,
        ..Options::default()
    };
    let mut rollout = rollout(1, options);
    rollout.advance(0.0);
    rollout.observe(1, &Observation::Written, 1.0);
    assert!(rollout.advance(11.0).is_empty());
    assert_eq!(rollout.advance(11.5), [Action::Restart(1)]);
    assert!(rollout.advance(21.0).is_empty());
    assert!(rollout.advance(22.0).is_empty());
    assert!(matches!(rollout.step(1), Some(Step::Lost(_))));
}

#[test]
fn switching_back_needs_no_validation() {
    let options = Options {
        on_trial: false,
        ..Options::default()
    };
    let mut rollout = rollout(1, options);
    rollout.advance(0.0);
    rollout.observe(1, &Observation::Written, 1.0);
    rollout.observe(1, &up("b"), 2.0);
    assert_eq!(rollout.step(1), Some(&Step::Validated));
}

/// A guest of the simulation: the slots that it runs and tries, and whether it is on trial.
struct Simulated {
    slot: &'static str,
    written: bool,
    is_good: bool,
}

proptest! {
    /// Whatever the guests do and whoever is killed when: the roll-out ends, counts every guest once,
    /// and no guest that runs is called lost.
    #[test]
    fn every_guest_is_accounted_for(
        good in prop::collection::vec(any::<bool>(), 1..30),
        killed in prop::collection::vec(0_usize..6, 1..60),
        concurrency in 1_u32..8,
        canary in 0.0_f64..1.0,
        tolerated in 0.0_f64..1.0,
    ) {
        let count = good.len() as u32;
        let options = Options { concurrency, canary, tolerated, ..Options::default() };
        let mut rollout = rollout(count, options);
        let mut guests: BTreeMap<u32, Simulated> = (1..=count)
            .map(|id| (id, Simulated { slot: "a", written: false, is_good: good[id as usize - 1] }))
            .collect();
        let mut fate = killed.into_iter();
        let mut now = 0.0;
        while !rollout.is_over() {
            now += 1.0;
            prop_assert!(now < 1000.0, "{:?}", rollout.progress());
            let mut open = rollout.advance(now);
            while let Some(action) = open.pop() {
                let observation = match action {
                    Action::Write(id) if fate.next() == Some(0) => (id, Observation::Ended("killed".into())),
                    Action::Write(id) => {
                        guests.get_mut(&id).unwrap().written = true;
                        (id, Observation::Written)
                    }
                    Action::Try(id) if fate.next() == Some(1) => (id, Observation::Ended("killed".into())),
                    Action::Try(id) | Action::Restart(id) => {
                        let guest = guests.get_mut(&id).unwrap();
                        let keeps = guest.written && guest.is_good;
                        guest.slot = if keeps { "b" } else { "a" };
                        (id, if keeps { validated("b") } else { up("a") })
                    }
                };
                open.extend(rollout.observe(observation.0, &observation.1, now));
            }
        }
        let progress = rollout.progress();
        prop_assert_eq!(
            progress.pending + progress.validated + progress.reverted + progress.failed,
            count
        );
        prop_assert_eq!(progress.lost, 0);
        for (id, guest) in guests {
            let keeps = rollout.step(id) == Some(&Step::Validated);
            prop_assert_eq!(guest.slot == "b", keeps, "guest {}", id);
        }
    }
}
