// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests whether this machine checks the alignment of accesses while the MMU is off, as hardware
//! does and emulation may not.

use core::arch::{asm, naked_asm};

/// Whether an unaligned load faults. Must be called at EL1.
pub(crate) fn unaligned_load_faults() -> bool {
    static WORDS: [u64; 2] = [0; 2];
    let faulted: u64;
    // SAFETY: the load stays within the words. If it faults, the handler sets x0, skips the load
    // and returns with all other registers except x9 unchanged.
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

/// An exception vector table in which only the entry for a synchronous exception from the current
/// level, with its own stack pointer, returns (Arm ARM, D1.4.1). The linker script aligns it to 2
/// KiB.
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
