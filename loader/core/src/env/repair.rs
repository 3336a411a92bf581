// SPDX-License-Identifier: MIT OR Apache-2.0

//! Repairs a single copy torn by a power cut: only some sectors of a write reached the disk, so the
//! data is neither the old nor the new state, and its checksum does not match.
//!
//! The loader's own writes change a few known characters, or append one known variable
//! ([`crate::env::writer`]). This module therefore tries every state that can precede or follow
//! such a write. If **exactly one** of them has the stored checksum, it is the state before or
//! after the write. Torn writes of other programs, which move variables around, are not repaired.
//!
//! There can be 20,000 states. Each combines changes whose effects on the checksum are computed
//! once (`env::checksum`), so the search never reads the whole block.

use crate::env::block::{Format, entries};
use crate::env::changes::Known;
use crate::env::checksum::effect;
use crate::env::writer::{
    PADDING, SECTOR, Sectors, TAIL, end_of_entries, entry_length, find, is_legal, write_entry,
};

/// Only single copies are repaired: of a redundant pair, the other copy is intact.
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

/// The maximum number of legal values of a variable.
const MAX_VALUES: usize = 10;

/// The maximum number of entries to try as the start of an added variable.
const MAX_BEGUN: usize = 4;

/// The result of a repair, by the number of states that have the stored checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// One: the block was changed to this state, in these sectors.
    Repaired(Sectors),
    /// None: the block is damaged in another way. It is unchanged.
    NoMatch,
    /// More than one: the repair does not guess. The block is unchanged.
    Ambiguous,
}

/// Tries to repair a single copy whose `stored` checksum does not match the `computed` one of its
/// data.
#[must_use]
#[inline(never)]
pub fn repair(block: &mut [u8], stored: u32, computed: u32) -> Repair {
    // The loader writes only if `nerves_fw_active` is set, and changes it in place.
    if find(block, FORMAT, Known::Active).is_none() {
        return Repair::NoMatch;
    }
    let mut search = Search {
        block,
        wanted: stored ^ computed,
        found: None,
        is_ambiguous: false,
        begun: 0,
    };
    search.run();
    match (search.found, search.is_ambiguous) {
        (_, true) => Repair::Ambiguous,
        (None, false) => Repair::NoMatch,
        (Some(state), false) => {
            let mut sectors = Sectors::default();
            state.put(block, &mut sectors);
            Repair::Repaired(sectors)
        }
    }
}

/// A candidate state, as its differences from the block: the tail after the last variable, and one
/// character for each known variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    tail_at: usize,
    tail: [u8; TAIL],
    tail_length: usize,
    /// The offset of each variable's value, and the value.
    values: [Option<(usize, u8)>; Known::ALL.len()],
}

impl State {
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
#[inline(never)]
fn is_begun(block: &[u8], start: usize) -> bool {
    let in_sector = SECTOR - start % SECTOR;
    ADDED.into_iter().any(|(known, value)| {
        let mut added = [0; TAIL];
        write_entry(&mut added, known, value);
        in_sector < entry_length(known) + 1 && block[start..].starts_with(&added[..in_sector])
    })
}

/// The known variables before the offset `end`, and the effects of their values on the checksum.
struct TrialVariables {
    end: usize,
    /// The offset of each variable's value, if it can be overwritten in place.
    places: [Option<usize>; Known::ALL.len()],
    /// The effect of each legal value in place of the current one, by variable.
    effects: [[u32; MAX_VALUES]; Known::ALL.len()],
    /// The variables that a write may have added at `end`.
    added: &'static [(Known, u8)],
}

impl TrialVariables {
    #[inline(never)]
    fn ending_at(block: &[u8], end: usize) -> Self {
        let before = &block[..end];
        let mut places = [None; Known::ALL.len()];
        let mut effects = [[0; MAX_VALUES]; Known::ALL.len()];
        let mut added = &ADDED[..ADDED_ANEW];
        for ((place, effects), known) in places.iter_mut().zip(&mut effects).zip(Known::ALL) {
            let Some(value) = find(before, FORMAT, known) else {
                continue;
            };
            let present = &block[value.clone()];
            if is_legal(known, present) {
                *place = Some(value.start);
                let after = block.len() - value.end;
                for (effect_of, value) in effects.iter_mut().zip(known.legal_values()) {
                    *effect_of = effect(present, &[*value], after);
                }
            } else if known == Known::Bootcount {
                added = &ADDED;
            }
        }
        Self {
            end,
            places,
            effects,
            added,
        }
    }
}

struct Search<'a> {
    block: &'a [u8],
    /// The effect on the checksum that a state must have.
    wanted: u32,
    found: Option<State>,
    is_ambiguous: bool,
    /// The number of entries that begin like an added variable.
    begun: usize,
}

impl Search<'_> {
    fn run(&mut self) {
        // Before the write, the variables ended at the end mark or, if the cut left part of an
        // added variable, before one of the last two entries that the block now seems to have.
        let (mut last, mut last_but_one) = (None, None);
        for entry in entries(self.block, FORMAT) {
            last_but_one = last;
            last = Some(entry.start);
            // Stale bytes of another writer may follow an incomplete variable, as any number of
            // entries.
            if self.begun < MAX_BEGUN && is_begun(self.block, entry.start) {
                self.begun += 1;
                self.try_end(entry.start, true);
            }
        }
        let end = end_of_entries(self.block, FORMAT);
        for end in [Some(end), last, last_but_one].into_iter().flatten() {
            self.try_end(end, false);
        }
    }

    /// Tries the states in which the variables ended at the offset `end` before the write: followed
    /// by stale bytes of another writer only, or also by padding.
    #[inline(never)]
    fn try_end(&mut self, end: usize, only_stale: bool) {
        let variables = &TrialVariables::ending_at(self.block, end);
        let room = self.block.len() - end;
        for (known, value) in variables.added {
            let mut added = [0; TAIL];
            write_entry(&mut added, *known, *value);
            let length = entry_length(*known) + 1;
            if length <= room {
                self.try_tail(variables, added, length);
                for padding in PADDING.into_iter().filter(|_| !only_stale) {
                    added[length..].fill(padding);
                    self.try_tail(variables, added, TAIL.min(room));
                }
            }
        }
        if !only_stale {
            for padding in PADDING {
                let mut bare = [padding; TAIL];
                bare[0] = 0;
                self.try_tail(variables, bare, TAIL.min(room));
            }
            // The block as it is, including everything after its end mark.
            self.try_tail(variables, [0; TAIL], 0);
        }
    }

    /// Tries all values of the known variables, followed by a tail.
    #[inline(never)]
    fn try_tail(&mut self, variables: &TrialVariables, tail: [u8; TAIL], tail_length: usize) {
        let tail_at = variables.end;
        let after = self.block.len() - tail_at - tail_length;
        let present = &self.block[tail_at..][..tail_length];
        let effect = effect(present, &tail[..tail_length], after);
        let mut state = State {
            tail_at,
            tail,
            tail_length,
            values: [None; Known::ALL.len()],
        };
        self.try_values(variables, &mut state, 0, effect);
    }

    /// Tries all values of the known variables from number `index` on; `effect` is that of the
    /// values before them and of the tail.
    fn try_values(
        &mut self,
        variables: &TrialVariables,
        state: &mut State,
        index: usize,
        effect: u32,
    ) {
        let Some(known) = Known::ALL.get(index) else {
            if effect == self.wanted {
                self.accept(state);
            }
            return;
        };
        let Some(at) = variables.places[index] else {
            self.try_values(variables, state, index + 1, effect);
            return;
        };
        for (value, effect_of) in known.legal_values().iter().zip(variables.effects[index]) {
            state.values[index] = Some((at, *value));
            self.try_values(variables, state, index + 1, effect ^ effect_of);
        }
    }

    /// Records a state that has the stored checksum.
    fn accept(&mut self, state: &State) {
        match &self.found {
            None => self.found = Some(*state),
            Some(found) => {
                let same = found
                    .offsets()
                    .chain(state.offsets())
                    .all(|at| found.byte(self.block, at) == state.byte(self.block, at));
                self.is_ambiguous |= !same;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::env::block::{Env, EnvError, EnvMut, seal};
    use crate::env::checksum::work;
    use crate::env::repair_oracle;

    /// Returns a block of these variables whose `bootcount` was changed after the block was sealed.
    fn torn(variables: &[u8], length: usize) -> Vec<u8> {
        let mut block = vec![0xff; length];
        let data = FORMAT.data_offset();
        block[data..][..variables.len()].copy_from_slice(variables);
        EnvMut::trusted(&mut block, FORMAT).seal();
        let count = find(&block, FORMAT, Known::Bootcount).unwrap();
        block[count.start] = b'7';
        block
    }

    /// Repairs a block as [`crate::env::open`] does.
    fn checked(block: &mut [u8]) -> Repair {
        match Env::parse(block, FORMAT) {
            Err(EnvError::BadCrc { stored, computed }) => repair(block, stored, computed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_the_loader_can_have_written_is_repaired() {
        let mut block = torn(b"bootcount=1\0nerves_fw_active=a\0\0", 2 * SECTOR);
        assert!(matches!(checked(&mut block), Repair::Repaired(_)));
        let count = find(&block, FORMAT, Known::Bootcount).unwrap();
        assert_eq!(block[count], *b"1");
        // Without an active slot, the loader writes nothing.
        let before = torn(b"bootcount=1\0nerves_fw_passive=a\0\0", 2 * SECTOR);
        let mut block = before.clone();
        assert_eq!(checked(&mut block), Repair::NoMatch);
        assert_eq!(block, before);
    }

    /// Sets every known variable, with a count of one and of two digits: the largest numbers of
    /// states.
    #[test]
    fn no_search_reads_as_much_as_the_block_again() {
        for count in ["1", "12"] {
            let variables = std::format!(
                "nerves_fw_active=a\0upgrade_available=1\0bootcount={count}\0\
                 nerves_fw_validated=0\0nerves_fw_booted=0\0\0"
            );
            let mut block = torn(variables.as_bytes(), 128 << 10);
            block[100_000] ^= 1;
            let Err(EnvError::BadCrc { stored, computed }) = Env::parse(&block, FORMAT) else {
                panic!("a damaged block was taken");
            };
            let read = work::bytes_read(|| {
                assert_eq!(repair(&mut block, stored, computed), Repair::NoMatch);
            });
            assert!(read < 16 << 10, "{read} bytes");
        }
    }

    /// A variable with a value, or an entry of another writer.
    fn entry() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(&Known::ALL[..]).prop_flat_map(|known| {
            prop_oneof![
                6 => prop::sample::select(known.legal_values()).prop_map(|value| vec![value]),
                1 => Just(b"12".to_vec()),
                1 => Just(vec![]),
            ]
            .prop_map(move |value| [known.name().as_bytes(), b"=", &value].concat())
        });
        prop_oneof![
            4 => known,
            1 => (0..200_usize).prop_map(|length| [b"x=".as_slice(), &vec![b'y'; length]].concat()),
        ]
    }

    /// A change to a sealed block: some can result from a power cut, others cannot.
    #[derive(Clone, Debug)]
    enum Tear {
        /// The value of a variable becomes another legal one.
        Value(prop::sample::Index, prop::sample::Index),
        /// A variable is appended. If true, its bytes from the start of the next sector on are
        /// missing.
        Added(prop::sample::Index, bool),
        /// A byte at any offset is replaced.
        Byte(prop::sample::Index, u8),
    }

    fn tear() -> impl Strategy<Value = Tear> {
        prop_oneof![
            4 => any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(at, value)| Tear::Value(at, value)),
            3 => any::<(prop::sample::Index, bool)>().prop_map(|(added, cut)| Tear::Added(added, cut)),
            1 => any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Tear::Byte(at, byte)),
        ]
    }

    fn apply(block: &mut [u8], tear: &Tear) {
        match tear {
            Tear::Value(at, value) => {
                let known = Known::ALL[at.index(Known::ALL.len())];
                if let Some(place) = find(block, FORMAT, known)
                    && is_legal(known, &block[place.clone()])
                {
                    let values = known.legal_values();
                    block[place.start] = values[value.index(values.len())];
                }
            }
            Tear::Added(added, is_cut) => {
                let (known, value) = ADDED[added.index(ADDED.len())];
                let end = end_of_entries(block, FORMAT);
                let mut bytes = [0; TAIL];
                write_entry(&mut bytes, known, value);
                let in_sector = SECTOR - end % SECTOR;
                let length = entry_length(known) + 1;
                let length = if *is_cut {
                    length.min(in_sector)
                } else {
                    length
                };
                if end + length <= block.len() {
                    block[end..][..length].copy_from_slice(&bytes[..length]);
                }
            }
            Tear::Byte(at, byte) => block[at.index(block.len())] = *byte,
        }
    }

    proptest! {
        #[test]
        fn the_plain_search_accepts_the_same_states(
            entries in proptest::collection::vec(entry(), 0..10),
            filler in 0..SECTOR,
            padding in prop::sample::select(vec![0xff, 0x00, b'z']),
            stale in proptest::option::of(entry()),
            before in proptest::collection::vec(tear(), 0..3),
            after in proptest::collection::vec(tear(), 1..4),
        ) {
            let mut block = vec![padding; 4 * SECTOR];
            let mut at = FORMAT.data_offset();
            let mut put = |bytes: &[u8]| {
                if let Some(place) = block.get_mut(at..at + bytes.len()) {
                    place.copy_from_slice(bytes);
                    at += bytes.len();
                }
            };
            put(b"nerves_fw_active=b\0filler=");
            put(&vec![b'x'; filler]);
            put(b"\0");
            for entry in &entries {
                put(entry);
                put(b"\0");
            }
            put(b"\0");
            if let Some(stale) = &stale {
                put(stale);
                put(b"\0");
            }
            for tear in &before {
                apply(&mut block, tear);
            }
            seal(&mut block, FORMAT);
            for tear in &after {
                apply(&mut block, tear);
            }
            let Err(EnvError::BadCrc { stored, computed }) = Env::parse(&block, FORMAT) else {
                return Ok(());
            };
            let mut expected = block.clone();
            let by_search = match repair_oracle::repair(&mut expected) {
                repair_oracle::Verdict::Repaired(sectors) => Repair::Repaired(sectors),
                repair_oracle::Verdict::NoMatch => Repair::NoMatch,
                repair_oracle::Verdict::Ambiguous => Repair::Ambiguous,
            };
            prop_assert_eq!(repair(&mut block, stored, computed), by_search);
            prop_assert_eq!(block, expected);
        }
    }
}
