// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests whether an instruction faults.

use core::arch::naked_asm;

/// Runs `$instruction`, which may use x10, x12 and x11, the latter with the value `$address`, and
/// returns whether it faulted. Must be called at EL1.
macro_rules! faults {
    ($instruction:literal, $address:expr) => {{
        let faulted: u64;
        // SAFETY: the caller chooses an instruction and an address without an effect on the
        // memory that Rust uses. If it faults, the handler sets x0, skips it and returns with all
        // other registers except x9 unchanged.
        unsafe {
            core::arch::asm!(
                "adr x9, {vectors}",
                "msr vbar_el1, x9",
                "isb",
                "mov x0, xzr",
                $instruction,
                // An asynchronous error would otherwise be taken later.
                "dsb sy",
                vectors = sym $crate::faults::vectors,
                inout("x11") $address => _,
                out("x0") faulted,
                out("x9") _,
                out("x10") _,
                out("x12") _,
                options(nostack),
            );
        }
        faulted != 0
    }};
}

pub(crate) use faults;

/// An exception vector table in which only the entry for a synchronous exception from the current
/// level, with its own stack pointer, returns (Arm ARM, D1.4.1). The linker script aligns it to 2
/// KiB.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors")]
pub(crate) unsafe extern "C" fn vectors() {
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
