// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::format::bytes::integer_length;

/// Where the bytes of a copy come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An offset in the source.
    Source(usize),
    /// An offset in the target window.
    Window(usize),
    /// A byte that repeats.
    Run(u8),
}

/// A part of the target window that is not data of its own. What is between copies is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// The offset in the target window.
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) origin: Origin,
}

impl Copy {
    pub(super) fn end(&self) -> usize {
        self.start + self.length
    }
}

/// A copy, and how many bytes it saves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) copy: Copy,
    pub(super) gain: isize,
}

/// What a copy costs in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cost {
    /// The source continues as an earlier copy did: the address is near.
    Continued,
    /// Another place of the source, which has this length.
    Source(usize),
    /// A distance back in the window.
    Distance(usize),
    /// A byte of data.
    Run,
}

impl Candidate {
    pub(super) fn new(copy: Copy, cost: Cost) -> Self {
        let cost = match cost {
            Cost::Continued => 2,
            Cost::Source(length) => 1 + integer_length(length as u64),
            Cost::Distance(distance) => 1 + integer_length(distance as u64),
            Cost::Run => 3,
        };
        Self {
            copy,
            gain: copy.length as isize - cost as isize,
        }
    }
}
