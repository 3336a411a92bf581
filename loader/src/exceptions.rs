// SPDX-License-Identifier: MIT OR Apache-2.0

//! Exception vectors: the loader enables no interrupt and expects no exception, so each one is a bug or a broken machine,
//! and is reported before the power goes off.
//!
//! Source: Arm ARM (DDI 0487), D1.4.1 (vector offsets) and D19.2.37 (ESR_ELx).

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU8, Ordering};

use aarch64_cpu::registers::{CurrentEL, ELR_EL1, ESR_EL1, FAR_EL1, Readable};

use crate::{console, power};

/// Sixteen entries of 128 bytes; each tells the handler its index. No return: registers need not be saved.
/// The linker script puts the table on a boundary of 2 KiB.
#[unsafe(naked)]
#[unsafe(link_section = ".vectors.el1")]
pub(crate) unsafe extern "C" fn vectors() {
    naked_asm!(
        "   .set   index, 0",
        "   .rept  16",
        "   .balign 128",
        "   mov    x0, #index",
        "   b      {handler}",
        "   .set   index, index + 1",
        "   .endr",
        handler = sym handler,
    )
}

/// Reports the exception and powers off. An exception on the way there means that the console or its address is bad:
/// the second one is reported on the console that every virt machine has, the third only powers off.
extern "C" fn handler(index: u64) -> ! {
    const KINDS: [&str; 4] = [
        "synchronous exception",
        "interrupt",
        "fast interrupt",
        "SError",
    ];
    static SEEN: AtomicU8 = AtomicU8::new(0);

    let seen = SEEN.load(Ordering::Relaxed);
    SEEN.store(seen.saturating_add(1), Ordering::Relaxed);
    match seen {
        0 => {}
        1 => console::use_default(),
        2 => power::off(),
        _ => power::halt(),
    }
    let kind = KINDS[(index & 3) as usize];
    if CurrentEL.read(CurrentEL::EL) == 1 {
        console::fatal(format_args!(
            "{kind} at {:#x}: ESR {:#x}, FAR {:#x}",
            ELR_EL1.get(),
            ESR_EL1.get(),
            FAR_EL1.get()
        ));
    } else {
        console::fatal(format_args!("{kind} above EL1"));
    }
    power::off()
}
