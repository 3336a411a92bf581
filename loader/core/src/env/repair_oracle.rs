// SPDX-License-Identifier: MIT OR Apache-2.0

//! Repairs a torn single copy by brute force: puts each candidate state into the block and computes
//! the checksum of the whole block. Slow and simple; [`crate::env::repair`] is tested against it.

use crate::env::block::{Format, entries};
use crate::env::changes::Known;
use crate::env::writer::{
    PADDING, SECTOR, Sectors, TAIL, end_of_entries, entry_length, find, is_legal, write_entry,
};

const FORMAT: Format = Format::Single;

/// The variables that a write may have added, with their values. A `bootcount` above 1 is added
/// only if there is one already that is not a single digit.
const ADDED: [(Known, u8); 11] = [
    (Known::Booted, b'1'),
    (Known::Bootcount, b'0'),
    (Known::Bootcount, b'1'),
    (Known::Bootcount, b'2'),
    (Known::Bootcount, b'3'),
    (Known::Bootcount, b'4'),
    (Known::Bootcount, b'5'),
    (Known::Bootcount, b'6'),
    (Known::Bootcount, b'7'),
    (Known::Bootcount, b'8'),
    (Known::Bootcount, b'9'),
];
/// The length of [`ADDED`] without the counts above 1.
const ADDED_ANEW: usize = 3;

/// The result of a repair, by the number of states that have the stored checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One: the block was changed to this state, in these sectors.
    Repaired(Sectors),
    /// None.
    NoMatch,
    /// More than one.
    Ambiguous,
}

/// Tries to repair a block whose checksum does not match its data.
pub(crate) fn repair(block: &mut [u8]) -> Verdict {
    let Some(stored) = block.first_chunk().copied().map(u32::from_le_bytes) else {
        return Verdict::NoMatch;
    };
    if find(block, FORMAT, Known::Active).is_none() {
        return Verdict::NoMatch;
    }
    let mut search = BruteForce {
        block,
        stored,
        found: None,
        ambiguous: false,
    };
    search.run();
    match (search.found, search.ambiguous) {
        (_, true) => Verdict::Ambiguous,
        (None, false) => Verdict::NoMatch,
        (Some(state), false) => {
            let mut sectors = Sectors::default();
            state.put(search.block, &mut sectors);
            Verdict::Repaired(sectors)
        }
    }
}

/// A candidate state, as its differences from the block: the tail after the last variable, and one
/// character for each known variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TornState {
    tail_at: usize,
    tail: [u8; TAIL],
    tail_length: usize,
    /// The offset of each variable's value, and the value.
    values: [Option<(usize, u8)>; Known::ALL.len()],
}

impl TornState {
    /// Changes the block to this state, and marks the sectors that differ.
    fn put(&self, block: &mut [u8], sectors: &mut Sectors) {
        let mut set = |at: usize, byte: u8| {
            if block[at] != byte {
                block[at] = byte;
                sectors.mark(at..at + 1);
            }
        };
        for (at, byte) in (self.tail_at..).zip(&self.tail[..self.tail_length]) {
            set(at, *byte);
        }
        for (at, byte) in self.values.iter().flatten() {
            set(*at, *byte);
        }
    }

    /// Returns the current bytes of the block at the offsets of this state.
    fn read(&self, block: &[u8]) -> Self {
        let mut read = *self;
        for (at, byte) in (self.tail_at..).zip(&mut read.tail[..self.tail_length]) {
            *byte = block[at];
        }
        for (at, byte) in read.values.iter_mut().flatten() {
            *byte = block[*at];
        }
        read
    }

    /// Returns the byte at an offset of the block in this state.
    fn byte(&self, block: &[u8], at: usize) -> u8 {
        let value = self.values.iter().flatten().find(|(place, _)| *place == at);
        let tail = at
            .checked_sub(self.tail_at)
            .and_then(|offset| self.tail[..self.tail_length].get(offset));
        value
            .map(|(_, byte)| byte)
            .or(tail)
            .copied()
            .unwrap_or(block[at])
    }

    /// Returns the offsets at which this state may differ from the block.
    fn offsets(&self) -> impl Iterator<Item = usize> {
        let values = self.values.into_iter().flatten().map(|(at, _)| at);
        (self.tail_at..self.tail_at + self.tail_length).chain(values)
    }
}

/// Whether an added variable with its end mark starts at `start` and crosses the end of the sector.
/// Compares only the bytes in this sector.
fn is_begun(block: &[u8], start: usize) -> bool {
    let in_sector = SECTOR - start % SECTOR;
    ADDED.into_iter().any(|(known, value)| {
        let mut added = [0; TAIL];
        write_entry(&mut added, known, value);
        in_sector < entry_length(known) + 1 && block[start..].starts_with(&added[..in_sector])
    })
}

struct BruteForce<'a> {
    block: &'a mut [u8],
    stored: u32,
    found: Option<TornState>,
    ambiguous: bool,
}

impl BruteForce<'_> {
    fn run(&mut self) {
        // Before the write, the variables ended at the end mark or, if the cut left part of an
        // added variable, before one of the last two entries that the block now seems to have.
        let end = end_of_entries(self.block, FORMAT);
        let (mut last, mut last_but_one) = (None, None);
        // Stale bytes of another writer may follow an incomplete variable, as any number of
        // entries.
        let mut begun = [None; 4];
        for entry in entries(self.block, FORMAT) {
            last_but_one = last;
            last = Some(entry.start);
            if is_begun(self.block, entry.start)
                && let Some(free) = begun.iter_mut().find(|place| place.is_none())
            {
                *free = last;
            }
        }
        for tail_at in begun.into_iter().flatten() {
            self.try_before_stale_bytes(tail_at);
        }
        for tail_at in [Some(end), last, last_but_one].into_iter().flatten() {
            let tail_length = TAIL.min(self.block.len().saturating_sub(tail_at));
            for padding in PADDING {
                let mut bare = [padding; TAIL];
                bare[0] = 0;
                self.try_tail(tail_at, bare, tail_length);
                for (known, value) in self.added(tail_at) {
                    if entry_length(*known) < tail_length {
                        let mut added = [padding; TAIL];
                        write_entry(&mut added, *known, *value);
                        self.try_tail(tail_at, added, tail_length);
                    }
                }
            }
            self.try_before_stale_bytes(tail_at);
            // The block as it is, including everything after its end mark.
            self.try_tail(tail_at, [0; TAIL], 0);
        }
    }

    /// Returns the variables that a write may have added at `tail_at`.
    fn added(&self, tail_at: usize) -> &'static [(Known, u8)] {
        match find(&self.block[..tail_at], FORMAT, Known::Bootcount) {
            Some(count) if !is_legal(Known::Bootcount, &self.block[count.clone()]) => &ADDED,
            _ => &ADDED[..ADDED_ANEW],
        }
    }

    /// Tries the added variables, followed by stale bytes of another writer.
    fn try_before_stale_bytes(&mut self, tail_at: usize) {
        for (known, value) in self.added(tail_at) {
            let length = entry_length(*known) + 1;
            if tail_at + length <= self.block.len() {
                let mut added = [0; TAIL];
                write_entry(&mut added, *known, *value);
                self.try_tail(tail_at, added, length);
            }
        }
    }

    /// Tries all values of the known variables, followed by a tail.
    fn try_tail(&mut self, tail_at: usize, tail: [u8; TAIL], tail_length: usize) {
        let mut state = TornState {
            tail_at,
            tail,
            tail_length,
            values: [None; Known::ALL.len()],
        };
        let mut places = [None; Known::ALL.len()];
        for (place, known) in places.iter_mut().zip(Known::ALL) {
            *place = find(&self.block[..tail_at], FORMAT, known)
                .filter(|value| is_legal(known, &self.block[value.clone()]))
                .map(|value| value.start);
        }
        self.try_values(&mut state, &places, 0);
    }

    fn try_values(&mut self, state: &mut TornState, places: &[Option<usize>], index: usize) {
        let Some(place) = places.get(index) else {
            self.try_state(state);
            return;
        };
        let Some(at) = *place else {
            self.try_values(state, places, index + 1);
            return;
        };
        for value in Known::ALL[index].legal_values() {
            state.values[index] = Some((at, *value));
            self.try_values(state, places, index + 1);
        }
    }

    fn try_state(&mut self, state: &TornState) {
        if self.checksum_of(state) != self.stored {
            return;
        }
        match &self.found {
            None => self.found = Some(*state),
            Some(found) => {
                let same = found
                    .offsets()
                    .chain(state.offsets())
                    .all(|at| found.byte(self.block, at) == state.byte(self.block, at));
                self.ambiguous |= !same;
            }
        }
    }

    /// Computes the checksum of the block in this state.
    fn checksum_of(&mut self, state: &TornState) -> u32 {
        let before = state.read(self.block);
        state.put(self.block, &mut Sectors::default());
        let crc = crc32fast::hash(&self.block[FORMAT.data_offset()..]);
        before.put(self.block, &mut Sectors::default());
        crc
    }
}
