// SPDX-License-Identifier: MIT OR Apache-2.0

//! The report of an exception: the loader enables no interrupt and expects no exception, so each one is a bug or a broken
//! machine, and is reported before the power goes off.
//!
//! Source: Arm ARM (DDI 0487), D19.2.37 (ESR_ELx).

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU8, Ordering};

use aarch64_cpu::registers::{CurrentEL, Readable};

use little_loader_core::display::{Decimal, Hex, Word};

use crate::machine::{console, power};

/// Reports, on a stack of its own level: with the index in x4, ESR in x1, ELR in x2, FAR in x3.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn stop() -> ! {
    naked_asm!(
        "   adrp   x0, __stack_top",
        "   add    x0, x0, :lo12:__stack_top",
        "   mov    sp, x0",
        "   mov    x0, x4",
        "   b      {report}",
        report = sym report,
    )
}

/// Reports the exception and powers off. An exception on the way there means that the console or its address is bad:
/// the second one is reported on the console that every virt machine has, the third only powers off.
extern "C" fn report(index: u64, esr: u64, elr: u64, far: u64) -> ! {
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
    let class = if index & 3 == 0 { class(esr) } else { "" };
    let level = CurrentEL.read(CurrentEL::EL);
    console::fatal(format_args!(
        "{} at EL{}{}, at {}: ESR {}, FAR {}",
        Word(kind),
        Decimal(level),
        Word(class),
        Hex(elr, 1),
        Hex(esr, 1),
        Hex(far, 1)
    ));
    power::off()
}

/// What the exception class of an ESR_ELx means, for those that code without FP, system calls and debugger can meet.
fn class(esr: u64) -> &'static str {
    match (esr >> 26) & 0x3f {
        0x00 => ", undefined instruction",
        0x07 => ", FP or SIMD",
        0x16 => ", HVC",
        0x17 => ", SMC",
        0x18 => ", trapped system register",
        0x20 | 0x21 => ", instruction abort",
        0x22 => ", PC alignment",
        0x24 | 0x25 => ", data abort",
        0x26 => ", SP alignment",
        _ => "",
    }
}
