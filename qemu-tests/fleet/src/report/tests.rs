// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Write as _;

use super::*;
use crate::model::{Event, EventKind, Guest, Host, Memory, State, Update};

/// Returns the history of a fleet of `count` guests, of which a tenth reverts.
fn history(count: u32) -> Vec<Event> {
    let mut events = vec![Event {
        at: 0.0,
        kind: EventKind::Start {
            first: 1,
            count,
            chunk: 8,
            cloned: false,
        },
    }];
    let mut state = |at, id, state, boot_seconds| {
        events.push(Event {
            at,
            kind: EventKind::State {
                id,
                state,
                slot: None,
                boot_seconds,
            },
        });
    };
    for id in 1..=count {
        let at = f64::from((id - 1) / 8) * 6.0;
        let seconds = 4.0 + f64::from(id * 7 % 11) / 8.0;
        state(at, id, State::Starting, None);
        state(at + 0.5, id, State::Loader, None);
        state(at + 1.0, id, State::Kernel, None);
        state(at + seconds, id, State::Up, Some(seconds));
    }
    let booted = f64::from(count.div_ceil(8)) * 6.0 + 5.0;
    for step in 0..60_u32 {
        let at = f64::from(step) / 60.0 * booted * 1.5;
        let running = (f64::from(count) * (at / booted).min(1.0)).round();
        let pss = 31.0 + 60.0 / running.max(1.0);
        events.push(Event {
            at,
            kind: EventKind::Sample {
                up: running as u32,
                running: running as u32,
                pss: (running * pss * 1024.0) as u64,
                sampled: running as u32,
                cpu: if at < booted { 1.9 } else { running * 0.002 },
                available: (20_000.0 - running * pss) as u64 * 1024,
            },
        });
        if at > booted {
            let done = ((at / booted - 1.0) * 2.0 * f64::from(count)).round() as u32;
            let reverted = done / 10;
            events.push(Event {
                at,
                kind: EventKind::Update(Update {
                    total: count,
                    trying: (count - done).min(4),
                    validated: done - reverted,
                    reverted,
                    ..Update::default()
                }),
            });
        }
    }
    events.sort_by(|left, right| left.at.total_cmp(&right.at));
    events
}

fn status(count: u32) -> Status {
    let guests = (1..=count).map(|id| Guest {
        id,
        host: format!("guest-{id:05}"),
        state: if id == 2 { State::Fatal } else { State::Up },
        boot_seconds: Some(4.0),
        memory: Some(Memory {
            pss: 32_000,
            rss: 60_000,
            private: 20_000,
        }),
        message: (id == 2).then(|| "fatal: <b>no slot</b> & \"nothing\"".to_owned()),
        ..Guest::default()
    });
    Status {
        image: "/srv/images/erlang.img".into(),
        elapsed: 100.0,
        memory_mib: 80,
        accelerator: "tcg".to_owned(),
        host: Host {
            cpus: 2,
            memory: 24 << 20,
            available: 20 << 20,
            load: 1.0,
        },
        update: Some(Update {
            source: "new.fw".to_owned(),
            stage: "done".to_owned(),
            total: count,
            lost: 1,
            ..Update::default()
        }),
        guests: guests.collect(),
        ..Status::default()
    }
}

#[test]
fn the_report_is_one_file_with_all_charts_and_escaped_messages() {
    let page = html(&status(40), &history(40)).unwrap();
    for part in [
        "A fleet of 40 guests",
        "Boots over time",
        "Time to up by chunk",
        "Memory per guest over count",
        "CPU per guest over time",
        "Updates over time",
        "Memory of the host",
        "fatal: &lt;b&gt;no slot&lt;/b&gt; &amp; &quot;nothing&quot;",
        "1 lost in the last update",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "{part:?} is not in the page");
    }
    assert_eq!(page.matches("role=\"img\"").count(), 6);
    assert_eq!(page.matches("<desc ").count(), 6);
    for absent in [
        "<script",
        "<link",
        "src=",
        "url(",
        "@import",
        "Nothing was recorded",
    ] {
        assert!(!page.contains(absent), "{absent:?} is in the page");
    }
}

#[test]
fn every_colour_of_the_charts_is_replaced_in_dark() {
    let page = html(&status(40), &history(40)).unwrap();
    let (style, body) = page.split_once("</style>").unwrap();
    for attribute in ["stroke=\"#", "fill=\"#"] {
        for (position, _) in body.match_indices(attribute) {
            let value = &body[position..position + attribute.len() + 7];
            assert!(style.contains(&format!("svg [{value}]")), "{value}");
        }
    }
}

#[test]
fn a_fleet_of_which_nothing_or_little_is_known_has_a_report() {
    let page = html(&Status::default(), &[]).unwrap();
    assert_eq!(page.matches("Nothing was recorded").count(), 6);
    for length in 1..8 {
        let mut events = history(1);
        events.truncate(length);
        html(&status(1), &events).unwrap();
    }
}

#[test]
fn the_report_of_a_large_fleet_stays_small() {
    let page = html(&status(5000), &history(5000)).unwrap();
    assert!(page.len() < 400_000, "{} bytes", page.len());
}

#[test]
fn the_command_reads_the_history_and_writes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let arguments = ReportArgs {
        output: folder.path().join("fleet.html"),
        measured: Some(folder.path().join("measured.json")),
    };
    let error = main(&arguments, &status(3), &path).unwrap_err();
    assert!(error.to_string().contains("history.jsonl"), "{error}");
    let mut file = File::create(&path).unwrap();
    for event in history(3) {
        writeln!(file, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    main(&arguments, &status(3), &path).unwrap();
    let page = std::fs::read_to_string(&arguments.output).unwrap();
    assert!(page.contains("A fleet of 3 guests"));
    assert!(!page.contains("Nothing was recorded"));
    let figures = std::fs::read(folder.path().join("measured.json")).unwrap();
    let figures: Measured = serde_json::from_slice(&figures).unwrap();
    assert_eq!(figures.source, "a fleet of 3 guests");
    assert_eq!(figures.rest_cores, 0.002);
}
