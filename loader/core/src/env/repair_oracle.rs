// SPDX-License-Identifier: MIT OR Apache-2.0

//! The repair of a torn single copy by plain search: each candidate state is put into the block and
//! the whole block's checksum computed. Slow and simple; [`crate::env::repair`] is tested against
//! it.

use crate::env::block::{Format, entries};
use crate::env::changes::Known;
use crate::env::writer::{
    PADDING, SECTOR, Sectors, TAIL, end_of_entries, entry_length, find, is_legal, write_entry,
};

const FORMAT: Format = Format::Single;

/// The variables that a write may have added, with the values it gives them. A count above 1 is
/// added only where there is one already that is not one digit.
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
/// How many of them there are without such a count.
const ADDED_ANEW: usize = 3;

/// How many states have the stored checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// One: the block has been changed to it, in these sectors.
    Repaired(Sectors),
    /// None.
    NoMatch,
    /// More than one.
    Ambiguous,
}

/// Tries to repair a block whose checksum does not fit.
pub(crate) fn repair(block: &mut [u8]) -> Repair {
    let Some(stored) = block.first_chunk().copied().map(u32::from_le_bytes) else {
        return Repair::NoMatch;
    };
    if find(block, FORMAT, Known::Active).is_none() {
        return Repair::NoMatch;
    }
    let mut search = Search {
        block,
        stored,
        found: None,
        ambiguous: false,
    };
    search.run();
    match (search.found, search.ambiguous) {
        (_, true) => Repair::Ambiguous,
        (None, false) => Repair::NoMatch,
        (Some(state), false) => {
            let mut sectors = Sectors::default();
            state.put(search.block, &mut sectors);
            Repair::Repaired(sectors)
        }
    }
}

/// What a state differs in from the block: the tail behind the last variable, and one character for
/// each known variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    tail_at: usize,
    tail: [u8; TAIL],
    tail_length: usize,
    /// Offset and value.
    values: [Option<(usize, u8)>; Known::ALL.len()],
}

impl State {
    /// Changes the block to this state.
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

    /// The state of the block as it is, in the places that this state changes.
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

    /// The byte at an offset of the block in this state.
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

    /// The offsets in which it may differ from the block.
    fn offsets(&self) -> impl Iterator<Item = usize> {
        let values = self.values.into_iter().flatten().map(|(at, _)| at);
        (self.tail_at..self.tail_at + self.tail_length).chain(values)
    }
}

/// Whether an added variable starts here whose end, the end mark included, lies in the next sector.
fn is_begun(block: &[u8], start: usize) -> bool {
    let in_sector = SECTOR - start % SECTOR;
    ADDED.into_iter().any(|(known, value)| {
        let mut added = [0; TAIL];
        write_entry(&mut added, known, value);
        in_sector < entry_length(known) + 1 && block[start..].starts_with(&added[..in_sector])
    })
}

struct Search<'a> {
    block: &'a mut [u8],
    stored: u32,
    found: Option<State>,
    ambiguous: bool,
}

impl Search<'_> {
    fn run(&mut self) {
        // Where the variables ended before the write: at the end mark, or, where the cut left a
        // part of an added variable, before the last one or two entries that the block
        // seems to have now.
        let end = end_of_entries(self.block, FORMAT);
        let (mut last, mut last_but_one) = (None, None);
        // What stands behind it may be bytes of another writer, in any number of entries.
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
            // The block as it is, with all that stands behind its end mark.
            self.try_tail(tail_at, [0; TAIL], 0);
        }
    }

    /// What a write may have added behind the variables that end here.
    fn added(&self, tail_at: usize) -> &'static [(Known, u8)] {
        match find(&self.block[..tail_at], FORMAT, Known::Bootcount) {
            Some(count) if !is_legal(Known::Bootcount, &self.block[count.clone()]) => &ADDED,
            _ => &ADDED[..ADDED_ANEW],
        }
    }

    /// Tries the added variables before bytes that another writer left behind the end mark.
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

    /// Tries all values of the known variables before a tail.
    fn try_tail(&mut self, tail_at: usize, tail: [u8; TAIL], tail_length: usize) {
        let mut state = State {
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

    fn try_values(&mut self, state: &mut State, places: &[Option<usize>], index: usize) {
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

    fn try_state(&mut self, state: &State) {
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

    /// The checksum of the block in this state.
    fn checksum_of(&mut self, state: &State) -> u32 {
        let before = state.read(self.block);
        state.put(self.block, &mut Sectors::default());
        let crc = crc32fast::hash(&self.block[FORMAT.data_offset()..]);
        before.put(self.block, &mut Sectors::default());
        crc
    }
}
