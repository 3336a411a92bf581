// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether anything still writes to memory that the kernel owns: all of it is filled, left alone,
//! and looked at again.

use core::arch::asm;
use core::ptr::NonNull;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use little_loader_core::tree::memory_map::Regions;
use little_loader_core::units::{Addr, Region};

/// The part of a second for which memory is left alone.
const WAIT: u64 = 5;

/// The size of what is written and compared at a time, in bytes.
const WORD: u64 = 8;

/// What became of the memory.
#[derive(Default)]
pub(crate) struct Watched {
    /// How many bytes were filled.
    pub(crate) bytes: u64,
    /// How many words have changed.
    pub(crate) changed: u64,
    /// The first of them.
    pub(crate) first: u64,
}

/// Fills `ram` but for what is `taken`, waits, and compares. With `tamper` one word is changed in
/// between, to show that it is seen.
pub(crate) fn watch(ram: &Regions, taken: &Regions, tamper: bool) -> Watched {
    let mut watched = Watched::default();
    let mut last = None;
    each_free(ram, taken, |region| {
        for (at, word) in words(region) {
            *word = pattern(at);
        }
        watched.bytes += region.length().0;
        last = Some(region);
    });
    if let Some(region) = last.filter(|_| tamper)
        && let Some((_, word)) = words(region).last()
    {
        *word = !*word;
    }
    let start = CNTVCT_EL0.get();
    while CNTVCT_EL0.get() - start < CNTFRQ_EL0.get() / WAIT {
        // SAFETY: a barrier. The compiler takes it for something that may have changed all memory.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    }
    each_free(ram, taken, |region| {
        for (at, word) in words(region) {
            if *word != pattern(at) {
                if watched.changed == 0 {
                    watched.first = at;
                }
                watched.changed += 1;
            }
        }
    });
    watched
}

/// No two words of memory are filled alike, and none as a device would.
fn pattern(address: u64) -> u64 {
    address ^ 0x9e37_79b9_7f4a_7c15
}

/// Each region of `ram` that is not `taken`, in whole words.
fn each_free(ram: &Regions, taken: &Regions, mut act: impl FnMut(Region)) {
    let mut free = |start: Addr, end: Addr| {
        let start = Addr(start.0.next_multiple_of(WORD));
        let end = Addr(end.0 / WORD * WORD);
        if let Some(region) = Region::between(start, end) {
            act(region);
        }
    };
    for piece in ram.as_slice() {
        let mut start = piece.start();
        for used in taken.as_slice().iter().filter(|used| used.overlaps(*piece)) {
            free(start, used.start());
            start = used.end();
        }
        free(start, piece.end());
    }
}

/// The words of a free region, with their addresses.
fn words(region: Region) -> impl Iterator<Item = (u64, &'static mut u64)> {
    let start = NonNull::new(region.start().0 as *mut u64).unwrap_or(NonNull::dangling());
    let count = (region.length().0 / WORD) as usize;
    // SAFETY: the region is RAM at a multiple of 8 that nobody uses, and one of these slices is in
    // use at a time. Without an MMU all RAM can be read and written.
    let words = unsafe { NonNull::slice_from_raw_parts(start, count).as_mut() };
    (region.start().0..).step_by(WORD as usize).zip(words)
}
