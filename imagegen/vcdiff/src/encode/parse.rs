// SPDX-License-Identifier: MIT OR Apache-2.0

//! Decides which parts of a target window are copied from where.

use super::candidate::{Candidate, Copy, Cost, Origin};
use super::common::{eight, four, prefix, suffix};
use super::history::History;
use super::index::SourceIndex;

/// The smallest copy, which has codes of its own.
const SMALLEST_COPY: usize = 4;
/// The smallest run.
const SMALLEST_RUN: usize = 8;
/// A copy that is taken without a look at what the next byte would give.
const LONG: usize = 512;
/// The bytes of data without a match after which fewer offsets are looked up.
const UNKNOWN: usize = 1024;
/// Every how many offsets are looked up then.
const SAMPLE: usize = 4;
/// How many places of the window are compared.
const DEPTH: usize = 32;
/// The bytes of a long copy that later copies from the window can start in. Whatever else they
/// need is in its origin too.
const KEPT: usize = 64;
/// How many distances from target to source are remembered.
const DIAGONALS: usize = 4;

/// Finds copies, window by window.
pub(super) struct Parser<'a> {
    source: &'a [u8],
    index: SourceIndex,
    history: History,
    /// The differences between offsets in source and target of the last copies, the latest first.
    /// Code that moved has many copies with few differences.
    diagonals: [i64; DIAGONALS],
    /// The offset in the target of the window.
    offset: u64,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a [u8], index: SourceIndex, longest_window: usize) -> Self {
        Self {
            source,
            index,
            history: History::new(longest_window),
            diagonals: [0; DIAGONALS],
            offset: 0,
        }
    }

    /// Replaces `copies` by those of the next window.
    pub(super) fn window(&mut self, window: &[u8], copies: &mut Vec<Copy>) {
        copies.clear();
        self.history.clear();
        let mut at = 0;
        while at + SMALLEST_COPY <= window.len() {
            let free = copies.last().map_or(0, Copy::end);
            let Some(mut best) = self.best(window, at, free) else {
                at += 1;
                continue;
            };
            while best.copy.length < LONG {
                match self.best(window, at + 1, free) {
                    Some(next) if next.gain > best.gain => {
                        best = next;
                        at += 1;
                    }
                    _ => break,
                }
            }
            self.take(best.copy, window, copies);
            at = best.copy.end();
        }
        self.offset += window.len() as u64;
    }

    fn take(&mut self, copy: Copy, window: &[u8], copies: &mut Vec<Copy>) {
        if let Origin::Source(from) = copy.origin {
            let diagonal = self.diagonal(copy.start, from);
            let used = self.diagonals.iter().position(|used| *used == diagonal);
            let replaced = used.unwrap_or(DIAGONALS - 1);
            self.diagonals[..=replaced].rotate_right(1);
            self.diagonals[0] = diagonal;
        }
        copies.push(copy);
        let kept = if copy.length > LONG { KEPT } else { usize::MAX };
        self.history.extend(window, copy.end(), kept);
    }

    fn diagonal(&self, start: usize, from: usize) -> i64 {
        from as i64 - (self.offset as i64 + start as i64)
    }

    /// The copy at an offset that saves most. It may start earlier, but not before `free`.
    fn best(&mut self, window: &[u8], at: usize, free: usize) -> Option<Candidate> {
        let seed = four(window, at)?;
        self.history.extend(window, at, usize::MAX);
        let mut best = Best::default();
        self.continued(window, at, free, &mut best);
        // In data like no other, which no lookup finds, a match of any length is found at one of a
        // few bytes, and starts earlier.
        let looked_up = at - free < UNKNOWN || at.is_multiple_of(SAMPLE);
        if looked_up && best.length() < LONG {
            self.elsewhere(window, at, free, &mut best);
        }
        if looked_up && best.length() < LONG {
            self.repeated(window, at, free, seed, &mut best);
        }
        if best.length() < LONG {
            let run = window[at..]
                .iter()
                .take_while(|byte| **byte == window[at])
                .count();
            if run >= SMALLEST_RUN {
                best.offer(at, run, Origin::Run(window[at]), Cost::Run);
            }
        }
        best.0
    }

    /// Offers what continues an earlier copy from the source.
    fn continued(&self, window: &[u8], at: usize, free: usize, best: &mut Best) {
        for diagonal in self.diagonals {
            let from = self.offset as i64 + at as i64 + diagonal;
            let Ok(from) = usize::try_from(from) else {
                continue;
            };
            if four(self.source, from) == four(window, at) {
                self.offer(window, at, free, from, Cost::Continued, best);
            }
        }
    }

    /// Offers other places of the source.
    fn elsewhere(&self, window: &[u8], at: usize, free: usize, best: &mut Best) {
        let Some(seed) = eight(window, at) else {
            return;
        };
        let cost = Cost::Source(self.source.len());
        for from in self.index.places(seed) {
            if eight(self.source, from) == Some(seed) {
                self.offer(window, at, free, from, cost, best);
            }
        }
    }

    fn offer(
        &self,
        window: &[u8],
        at: usize,
        free: usize,
        from: usize,
        cost: Cost,
        best: &mut Best,
    ) {
        let forward = prefix(&self.source[from..], &window[at..]);
        let back = suffix(&self.source[..from], &window[free..at]);
        best.offer(at - back, forward + back, Origin::Source(from - back), cost);
    }

    /// Offers earlier places of the window.
    fn repeated(&self, window: &[u8], at: usize, free: usize, seed: u32, best: &mut Best) {
        for from in self.history.places(seed).take(DEPTH) {
            if four(window, from) == Some(seed) {
                let forward = prefix(&window[from..], &window[at..]);
                let back = suffix(&window[..from], &window[free..at]);
                let (length, origin) = (forward + back, Origin::Window(from - back));
                best.offer(at - back, length, origin, Cost::Distance(at - from));
                if length >= LONG {
                    break;
                }
            }
        }
    }
}

/// The best candidate so far.
#[derive(Default)]
struct Best(Option<Candidate>);

impl Best {
    fn length(&self) -> usize {
        self.0.map_or(0, |best| best.copy.length)
    }

    fn offer(&mut self, start: usize, length: usize, origin: Origin, cost: Cost) {
        let copy = Copy {
            start,
            length,
            origin,
        };
        let candidate = Candidate::new(copy, cost);
        let least = self.0.map_or(0, |best| best.gain);
        if candidate.gain > least {
            self.0 = Some(candidate);
        }
    }
}
