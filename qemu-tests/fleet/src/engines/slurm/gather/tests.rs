// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::engines::slurm::attempt::Attempt;
use crate::engines::slurm::tests::job;
use crate::model::Memory;

fn record(job: &Job, task: u32, node: &str, written: f64) -> Record {
    let guest = |id| Guest {
        state: State::Up,
        pid: Some(id),
        memory: Some(Memory::default()),
        ..unstarted(id)
    };
    Record {
        attempt: Attempt {
            task,
            job: String::new(),
            restarts: 0,
            node: node.to_owned(),
        },
        began: 1000 + u64::from(task),
        written,
        ended: false,
        status: Status {
            started: 1000 + u64::from(task),
            host: Host {
                cpus: 2,
                ..Host::default()
            },
            supervisor_rss: 10,
            guests: ids(job.chunk_of(task).unwrap()).map(guest).collect(),
            ..Status::default()
        },
    }
}

fn states(status: &Status) -> Vec<State> {
    status.guests.iter().map(|guest| guest.state).collect()
}

#[test]
fn tasks_are_added_up_and_hosts_counted_once() {
    let (_, job) = job("--guests 5 --chunk 2");
    let records =
        (0..3).map(|task| Some(record(&job, task, ["a", "a", "b"][task as usize], 1100.0)));
    let status = merged(&job, records.collect(), 1101.0);
    assert_eq!(states(&status), [State::Up; 5]);
    let ids: Vec<_> = status.guests.iter().map(|guest| guest.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert_eq!((status.host.cpus, status.supervisor_rss), (4, 30));
    assert_eq!((status.started, status.elapsed), (1000, 101.0));
    assert_eq!(status.guests[4].since, 2.0);
    assert_eq!(status.held, None);
}

#[test]
fn silent_and_waiting_tasks_are_named() {
    let (_, job) = job("--guests 6 --chunk 2 --refresh 5");
    let silent = record(&job, 0, "a", 1100.0);
    let mut ended = record(&job, 1, "b", 1100.0);
    ended.ended = true;
    // Four refreshes and five seconds are not too late.
    let status = merged(&job, vec![Some(silent.clone())], 1125.0);
    assert_eq!(states(&status), [State::Up; 2]);
    let status = merged(&job, vec![Some(silent), Some(ended), None], 1160.0);
    let expected = [[State::Gone; 2], [State::Up; 2], [State::Waiting; 2]];
    assert_eq!(states(&status), expected.concat());
    let message = status.guests[0].message.as_deref();
    assert_eq!(message, Some("task 0 on node a has been silent for 60 s"));
    assert_eq!(
        (status.guests[0].pid, status.guests[0].memory),
        (None, None)
    );
    assert_eq!(
        status.held.as_deref(),
        Some("task 0 on node a has been silent for 60 s; 1 of 3 tasks have not started")
    );
    assert_eq!(status.elapsed, 100.0);
}

#[test]
fn updates_of_all_tasks_are_one() {
    let update = |validated, writing| Update {
        total: 2,
        validated,
        writing,
        stage: if writing > 0 { "roll-out" } else { "done" }.to_owned(),
        ..Update::default()
    };
    assert_eq!(sum_of_updates(&[]), None);
    let sum = sum_of_updates(&[update(2, 0), update(1, 1)]).unwrap();
    assert_eq!((sum.total, sum.validated, sum.writing), (4, 3, 1));
    assert_eq!(sum.stage, "roll-out");
}
