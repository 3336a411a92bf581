// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests whether anything still writes to memory that the kernel owns: fills all of it, waits, and
//! compares.

use core::arch::asm;
use core::ptr::NonNull;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
use little_loader_core::tree::memory_map::Regions;
use little_loader_core::units::{Addr, Region};

/// The wait between filling and comparing is a second divided by this.
const WAIT: u64 = 5;

/// The size in bytes of the words that are written and compared.
const WORD: u64 = 8;

/// The result of a watch.
#[derive(Default)]
pub(crate) struct Watched {
    /// The number of bytes that were filled.
    pub(crate) bytes: u64,
    /// The number of words that changed.
    pub(crate) changed: u64,
    /// The address of the first changed word.
    pub(crate) first: u64,
}

/// Fills `ram` except for the `taken` regions, waits, and compares. With `tamper`, changes one word
/// in between, to show that the change is detected.
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
        // SAFETY: a barrier has no effect on data. The compiler must assume that the asm block may
        // change all memory, so it reads the words again.
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

/// Returns the fill of a word: different for every word, and unlikely to be what a device writes.
fn pattern(address: u64) -> u64 {
    address ^ 0x9e37_79b9_7f4a_7c15
}

/// Calls `act` with each region of `ram` that is not `taken`, in whole words.
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

/// Returns the words of a free region, with their addresses.
fn words(region: Region) -> impl Iterator<Item = (u64, &'static mut u64)> {
    let start = NonNull::new(region.start().0 as *mut u64).unwrap_or(NonNull::dangling());
    let count = (region.length().0 / WORD) as usize;
    // SAFETY: the region is unused RAM at a multiple of 8, and only one of these slices is in use
    // at a time. With the MMU off all RAM can be read and written.
    let words = unsafe { NonNull::slice_from_raw_parts(start, count).as_mut() };
    (region.start().0..).step_by(WORD as usize).zip(words)
}
