// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether this machine checks the alignment of accesses while the MMU is off, as hardware does and
//! emulation may not.

use core::arch::{asm, naked_asm};

/// Whether an unaligned load faults. Only for EL1.
pub(crate) fn unaligned_load_faults() -> bool {
    static WORDS: [u64; 2] = [0; 2];
    let faulted: u64;
    // SAFETY: the load stays within the words. If it faults, the handler sets x0, steps over the
    // load and comes back with all other registers as they were but for x9.
    unsafe {
        asm!(
            "adr x9, {vectors}",
            "msr vbar_el1, x9",
            "isb",
            "mov x0, xzr",
            "ldr x10, [x11]",
            vectors = sym vectors,
            in("x11") WORDS.as_ptr() as usize + 1,
            out("x0") faulted,
            out("x9") _,
            out("x10") _,
            options(nostack),
        );
    }
    faulted != 0
}

/// Vectors of which only the one for a fault at this level, with its own stack pointer, leads back
/// (Arm ARM, D1.4.1). The linker script puts them on a boundary of 2 KiB.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors")]
unsafe extern "C" fn vectors() {
    naked_asm!(
        ".rept  4",
        "   b      .",
        "   .balign 128",
        ".endr",
        "   mov    x0, #1",
        "   mrs    x9, elr_el1",
        "   add    x9, x9, #4",
        "   msr    elr_el1, x9",
        "   eret",
    )
}
