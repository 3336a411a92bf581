// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts the steps of reading a tree, so that tests can bound them.

extern crate std;

use std::cell::Cell;
use std::thread_local;

thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Counts steps: a token, or a byte of a name.
pub(super) fn add(steps: usize) {
    STEPS.set(STEPS.get() + steps);
}

/// Returns the number of steps of a call.
pub(super) fn of(call: impl FnOnce()) -> usize {
    let before = STEPS.get();
    call();
    STEPS.get() - before
}
