// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests whether this machine checks the alignment of accesses while the MMU is off, as hardware
//! does and emulation may not.

use crate::faults::faults;

/// Whether an unaligned load faults. Must be called at EL1.
pub(crate) fn unaligned_load_faults() -> bool {
    static WORDS: [u64; 2] = [0; 2];
    faults!("ldr x10, [x11]", WORDS.as_ptr() as usize + 1)
}
