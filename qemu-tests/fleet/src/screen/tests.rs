// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::Cell;

use ratatui::Frame;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::model::{Guest, Host, Memory, State, Update};

/// Returns a fleet of `count` guests in different states, in the middle of an update.
fn fleet(count: u32) -> Status {
    let guests = (1..=count).map(|id| Guest {
        id,
        serial: format!("LL{id:08}"),
        host: format!("guest-{id:05}"),
        state: match id {
            3 => State::Fatal,
            4 => State::Looping,
            5 => State::Reverted,
            id if id % 10 == 0 => State::Kernel,
            _ => State::Up,
        },
        slot: Some("a".to_owned()),
        reason: Some("active".to_owned()),
        version: Some("1.2.3".to_owned()),
        pid: Some(1000 + id),
        port: Some(20_000),
        boots: 1,
        boot_seconds: Some(4.0 + f64::from(id % 7) / 10.0),
        uptime: Some(f64::from(id)),
        memory: Some(Memory {
            pss: 30_000 + u64::from(id),
            rss: 60_000,
            private: 20_000,
        }),
        cpu: Some(0.001),
        message: (id == 3).then(|| "fatal: neither slot can be booted\u{1b}[2J".to_owned()),
        ..Guest::default()
    });
    Status {
        image: "/srv/images/erlang.img".into(),
        elapsed: 3725.0,
        accelerator: "kvm".to_owned(),
        memory_mib: 80,
        host: Host {
            cpus: 192,
            memory: 1 << 30,
            available: 1 << 29,
            load: 12.5,
        },
        supervisor_rss: 20_480,
        held: Some("free memory below 10 %".to_owned()),
        update: Some(Update {
            stage: "roll-out".to_owned(),
            total: count,
            pending: count - 4,
            trying: 2,
            validated: 1,
            reverted: 1,
            ..Update::default()
        }),
        guests: guests.collect(),
        ..Status::default()
    }
}

/// Returns what stands on a screen of `width` by `height` characters.
fn screen(status: &Status, view: &ViewState, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut Frame<'_>| {
        render(frame, status, view);
    };
    terminal.draw(draw).unwrap();
    terminal.backend().to_string()
}

#[test]
fn a_screen_of_80_by_24_shows_the_fleet_and_its_guests() {
    let text = screen(&fleet(5000), &ViewState::default(), 80, 24);
    for part in [
        "5,000 guests of 80 MiB, kvm, for 1:02:05, from erlang.img",
        "kernel 500  up 4,497  reverted 1  fatal 1  looping 1",
        "boot 4.3 s / 4.6 s / 4.6 s  PSS 32 MB / 34 MB / 34 MB",
        "CPU 5.00  load 12.5/192  free 512.0 GB/1.0 TB  supervisor 20 MB",
        "starting is held: free memory below 10 %",
        "update: roll-out",
        "5,000 guests: validated 1  trying 2  reverted 1  lost 0  pending 4,996",
        "guest-00003 fatal: neither slot can be booted [2J",
        "guest-00004 looping: no message",
        "1 guest-00001 up       a       1.0 s",
        "1 to 12 of 5,000",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn all_sizes_of_screens_and_fleets_are_drawn() {
    for count in [0, 1, 4, 5000] {
        let status = if count == 0 {
            Status::default()
        } else {
            fleet(count.max(4))
        };
        for (width, height) in [(1, 1), (20, 5), (40, 10), (80, 24), (300, 100)] {
            for help in [false, true] {
                let view = ViewState {
                    help,
                    selected: Some(2),
                    top: 4000,
                    ..ViewState::default()
                };
                screen(&status, &view, width, height);
            }
        }
    }
}

#[test]
fn the_selected_guest_is_described_and_the_filter_named() {
    let mut view = ViewState {
        selected: Some(3),
        filter: Some(State::Fatal),
        ..ViewState::default()
    };
    let text = screen(&fleet(20), &view, 100, 24);
    assert!(text.contains("guest-00003  LL00000003  process 1003  port 20000  boots 1  fatal:"));
    assert!(text.contains("filter: fatal"));
    assert!(text.contains("1 to 1 of 1"));
    view.stale = Some("no answer".to_owned());
    let text = screen(&fleet(20), &view, 100, 24);
    assert!(text.contains("these figures are old: no answer"));
}

#[test]
fn the_loop_shows_new_figures_and_failures_until_the_user_leaves() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let asked = Cell::new(0);
    let source = || {
        asked.set(asked.get() + 1);
        match asked.get() {
            1 => Ok(fleet(7)),
            _ => anyhow::bail!("the supervisor does not answer"),
        }
    };
    let key = |code| Some(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    let mut script = [
        None,
        key(KeyCode::Down),
        Some(Event::Resize(80, 24)),
        None,
        key(KeyCode::Char('q')),
    ]
    .into_iter();
    run(&mut terminal, fleet(4), source, |_| {
        Ok(script.next().unwrap())
    })
    .unwrap();
    assert_eq!(asked.get(), 2);
    let text = terminal.backend().to_string();
    assert!(text.contains("7 guests of 80 MiB"), "{text}");
    assert!(text.contains("these figures are old: the supervisor does not answer"));
}

#[test]
fn plain_text_has_all_guests_in_lines_of_a_limited_width() {
    let mut status = fleet(50);
    status.guests[9].message = Some("x".repeat(500));
    status.guests[10].host = "a-host-name-that-is-far-too-long".to_owned();
    let text = plain(&status);
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
    assert!(text.lines().any(|line| line.ends_with('…')));
    let rows = |part| text.lines().filter(|line| line.contains(part)).count();
    assert_eq!(rows("guest-000"), 49 + 2, "{text}");
    assert!(text.contains("    11 a-host-name up       a"), "{text}");
    assert!(!text.contains('\u{1b}'));
}
