// SPDX-License-Identifier: MIT OR Apache-2.0

//! The history of a fleet as curves.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use crate::model::{Event, EventKind, State, Update};
use crate::totals::{Percentiles, float};

/// A point: usually seconds since the fleet's start, and a value.
pub(super) type Point = (f64, f64);

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("reading the history: {0}")]
    Read(#[from] io::Error),
    /// A line is not an event.
    #[error("line {line} of the history is not an event: {error}; remove the line to go on")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// Reads the events of a `history.jsonl`. A last line without its end was cut off when the supervisor
/// ended, and is left out.
///
/// # Errors
/// When the file cannot be read, or a whole line is not an event.
pub fn read(mut source: impl BufRead) -> Result<Vec<Event>, HistoryError> {
    let mut events = vec![];
    let mut bytes = vec![];
    for line in 1.. {
        bytes.clear();
        source.read_until(b'\n', &mut bytes)?;
        let Some(text) = bytes.strip_suffix(b"\n") else {
            break;
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(event) => events.push(event),
            Err(error) => return Err(HistoryError::Line { line, error }),
        }
    }
    Ok(events)
}

/// The boots of a chunk of guests that were started together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chunk {
    /// The number of the chunk's first guest.
    pub(super) first: u32,
    /// Seconds that its guests took to come up the first time.
    pub(super) seconds: Percentiles,
}

/// The curves of a fleet. Times are seconds since the fleet's start.
#[derive(Clone, Debug, Default)]
pub(super) struct Curves {
    /// Guests that have been started.
    pub(super) started: Vec<Point>,
    /// Guests that are up.
    pub(super) up: Vec<Point>,
    /// Running guests, and MiB of proportional set size per guest.
    pub(super) memory: Vec<Point>,
    /// CPU time of the guests, in percent of a core per running guest.
    pub(super) cpu: Vec<Point>,
    /// The host's available memory in GiB.
    pub(super) available: Vec<Point>,
    /// The sum of the proportional set sizes in GiB.
    pub(super) pss: Vec<Point>,
    /// The first boots by chunk.
    pub(super) chunks: Vec<Chunk>,
    /// The updates.
    pub(super) updates: Vec<(f64, Update)>,
}

impl Curves {
    /// Draws the curves from events in the order of time.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut curves = Self::default();
        let mut states: BTreeMap<u32, State> = BTreeMap::new();
        let mut first_boots: BTreeMap<u32, f64> = BTreeMap::new();
        let mut starts = vec![];
        let mut up = 0_u32;
        for Event { at, kind } in events {
            match kind {
                EventKind::Start {
                    first,
                    count,
                    chunk,
                    ..
                } => starts.push((*first, *count, *chunk)),
                EventKind::State {
                    id,
                    state,
                    boot_seconds,
                    ..
                } => {
                    let before = states.insert(*id, *state);
                    let began =
                        |state: Option<State>| state.is_some_and(|state| state > State::Waiting);
                    if began(Some(*state)) && !began(before) {
                        let started =
                            f64::from(u32::try_from(curves.started.len()).unwrap_or(u32::MAX));
                        curves.started.push((*at, started + 1.0));
                    }
                    let was_up = before.is_some_and(State::is_up);
                    up = up + u32::from(state.is_up()) - u32::from(was_up);
                    if state.is_up() != was_up {
                        curves.up.push((*at, f64::from(up)));
                    }
                    if let Some(seconds) = boot_seconds {
                        first_boots.entry(*id).or_insert(*seconds);
                    }
                }
                EventKind::Sample {
                    running,
                    pss,
                    sampled,
                    cpu,
                    available,
                    ..
                } => {
                    if *sampled > 0 {
                        let each = float(*pss) / f64::from(*sampled) / 1024.0;
                        curves.memory.push((f64::from(*running), each));
                    }
                    if *running > 0 {
                        curves.cpu.push((*at, cpu / f64::from(*running) * 100.0));
                    }
                    curves.available.push((*at, gib(*available)));
                    curves.pss.push((*at, gib(*pss)));
                }
                EventKind::Update(update) => curves.updates.push((*at, update.clone())),
            }
        }
        curves
            .memory
            .sort_by(|left, right| left.0.total_cmp(&right.0));
        curves.chunks = chunks(&starts, &first_boots);
        curves
    }

    /// Returns one part of the updates over time.
    pub(super) fn update(&self, part: impl Fn(&Update) -> u32) -> Vec<Point> {
        let updates = self.updates.iter();
        updates
            .map(|(at, update)| (*at, f64::from(part(update))))
            .collect()
    }
}

fn gib(kib: u64) -> f64 {
    float(kib) / 1024.0 / 1024.0
}

/// Sorts the boots by the chunks of `starts`, each of which has a first guest, a number of guests and
/// the size of a chunk.
fn chunks(starts: &[(u32, u32, u32)], boots: &BTreeMap<u32, f64>) -> Vec<Chunk> {
    let mut chunks = vec![];
    for (first, count, size) in starts {
        let mut first = *first;
        let end = first.saturating_add(*count);
        while first < end {
            let next = first.saturating_add((*size).max(1)).min(end);
            let seconds = boots.range(first..next).map(|(_, seconds)| *seconds);
            if let Some(seconds) = Percentiles::of(seconds) {
                chunks.push(Chunk { first, seconds });
            }
            first = next;
        }
    }
    chunks.sort_by_key(|chunk| chunk.first);
    chunks
}

/// Returns at most about `limit` of `points`, evenly chosen, with the first and the last one.
pub(super) fn thinned<T: Clone>(points: &[T], limit: usize) -> Vec<T> {
    let step = points.len().div_ceil(limit.max(1)).max(1);
    let mut thin: Vec<T> = points.iter().step_by(step).cloned().collect();
    if step > 1 && !(points.len() - 1).is_multiple_of(step) {
        thin.extend(points.last().cloned());
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(at: f64, id: u32, state: State, boot_seconds: Option<f64>) -> Event {
        let kind = EventKind::State {
            id,
            state,
            slot: None,
            boot_seconds,
        };
        Event { at, kind }
    }

    #[test]
    fn started_and_up_are_counted_once_per_guest() {
        let curves = Curves::of(&[
            Event {
                at: 0.0,
                kind: EventKind::Start {
                    first: 1,
                    count: 3,
                    chunk: 2,
                    cloned: false,
                },
            },
            state(0.1, 1, State::Starting, None),
            state(0.2, 2, State::Starting, None),
            state(1.0, 1, State::Loader, None),
            state(5.0, 1, State::Up, Some(4.0)),
            state(6.0, 2, State::Up, Some(5.0)),
            state(7.0, 1, State::Loader, None),
            state(9.0, 1, State::Reverted, Some(3.0)),
            state(9.5, 3, State::Waiting, None),
            state(9.6, 3, State::Starting, None),
            state(11.0, 3, State::Up, Some(1.5)),
        ]);
        assert_eq!(curves.started, [(0.1, 1.0), (0.2, 2.0), (9.6, 3.0)]);
        let up: Vec<_> = curves.up.iter().map(|point| point.1).collect();
        assert_eq!(up, [1.0, 2.0, 1.0, 2.0, 3.0]);
        let chunks: Vec<_> = curves
            .chunks
            .iter()
            .map(|chunk| (chunk.first, chunk.seconds.p50, chunk.seconds.p99))
            .collect();
        assert_eq!(chunks, [(1, 4.0, 5.0), (3, 1.5, 1.5)]);
    }

    #[test]
    fn samples_without_guests_give_no_share_per_guest() {
        let sample = |running, sampled| Event {
            at: 1.0,
            kind: EventKind::Sample {
                up: 0,
                running,
                pss: 4096,
                sampled,
                cpu: 0.5,
                available: 1 << 20,
            },
        };
        let curves = Curves::of(&[sample(0, 0), sample(10, 2)]);
        assert_eq!(curves.memory, [(10.0, 2.0)]);
        assert_eq!(curves.cpu, [(1.0, 5.0)]);
        assert_eq!(curves.available.len(), 2);
    }

    #[test]
    fn a_history_is_read_up_to_a_line_that_was_cut_off() {
        let line = serde_json::to_string(&state(1.0, 1, State::Up, None)).unwrap();
        let text = format!("{line}\n\n{line}\n{{\"at\":2");
        assert_eq!(read(text.as_bytes()).unwrap().len(), 2);
        let error = read(format!("{line}\nnonsense\n").as_bytes()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("line 2 of the history is not an event: "),
            "{message}"
        );
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let points: Vec<_> = (0..1001).collect();
        let thin = thinned(&points, 10);
        assert!(thin.len() <= 12, "{thin:?}");
        assert_eq!((thin[0], thin[thin.len() - 1]), (0, 1000));
        assert_eq!(thinned(&points[..3], 10), [0, 1, 2]);
        assert!(thinned::<u8>(&[], 10).is_empty());
    }
}
