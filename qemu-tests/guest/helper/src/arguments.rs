// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line and the environment, as the kernel leaves them on the stack (System V ABI for
//! the Arm 64-bit Architecture, "Process initialization"): the number of words, a pointer to each
//! word, NULL, a pointer to each variable, NULL.

use core::arch::naked_asm;
use core::ffi::{CStr, c_char};

/// The first words of the stack, as seen by the program.
#[repr(transparent)]
pub(crate) struct Arguments(usize);

/// The first instruction of the program.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        "b {start}",
        start = sym crate::start,
    );
}

impl Arguments {
    /// Returns the words after the program's name, at most three.
    pub(crate) fn words(&self) -> (Option<&[u8]>, Option<&[u8]>, Option<&CStr>) {
        let bytes = |index| self.word(index).map(CStr::to_bytes);
        (bytes(1), bytes(2), self.word(3))
    }

    /// Returns the word with this index; the program's name has 0.
    fn word(&self, index: usize) -> Option<&CStr> {
        if index >= self.0 {
            return None;
        }
        // SAFETY: `_start` is the only one who makes a reference to this type, to the stack's top,
        // where `self.0` pointers to strings follow that live as long as the process.
        unsafe { Some(CStr::from_ptr(*self.pointers().add(index))) }
    }

    /// Returns the pointers to the environment's variables, ended by NULL.
    pub(crate) fn environment(&self) -> *const *const c_char {
        // SAFETY: as in `word`; the environment follows the NULL after the words.
        unsafe { self.pointers().add(self.0 + 1) }
    }

    fn pointers(&self) -> *const *const c_char {
        let count: *const usize = &raw const self.0;
        count.wrapping_add(1).cast()
    }
}

/// Reads a decimal port number.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}
