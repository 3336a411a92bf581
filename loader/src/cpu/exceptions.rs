// SPDX-License-Identifier: MIT OR Apache-2.0

//! Reports exceptions. The loader enables no interrupts and expects no exceptions, so each one is a
//! bug or a broken machine: the loader reports it and powers off.
//!
//! An exception can occur as soon as the vectors are set, before BSS is cleared. After a reboot BSS
//! holds what the kernel left there, so the statics that the report uses are in `.data`, which QEMU
//! reloads.
//!
//! Source: Arm ARM (DDI 0487), D19.2.37 (ESR_ELx).

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU8, Ordering};

use aarch64_cpu::registers::{CurrentEL, Readable};

use little_loader_core::display::{Decimal, Hex, Word};

use crate::machine::{console, power};

/// Reports the exception whose vector index is in x4, with ESR in x1, ELR in x2 and FAR in x3.
///
/// # Safety
///
/// The interrupted code must not be resumed: the stack is reset.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn stop() -> ! {
    naked_asm!(
        "   adr    x0, __stack_top",
        "   mov    sp, x0",
        "   mov    x0, x4",
        "   b      {report}",
        report = sym report,
    )
}

/// Reports the exception and powers off. A second exception during the report means that the
/// console or its address is bad: it is reported on the PL011 that every virt machine has. A third
/// only powers off.
extern "C" fn report(index: u64, esr: u64, elr: u64, far: u64) -> ! {
    const KINDS: [&str; 4] = [
        "synchronous exception",
        "interrupt",
        "fast interrupt",
        "SError",
    ];
    #[unsafe(link_section = ".data")]
    static SEEN: AtomicU8 = AtomicU8::new(0);

    let seen = SEEN.load(Ordering::Relaxed);
    SEEN.store(seen.saturating_add(1), Ordering::Relaxed);
    match seen {
        0 => {}
        1 => console::use_default(),
        2 => power::off(),
        _ => power::halt(),
    }
    // The vector table repeats the four kinds for each origin of an exception.
    let kind = index as usize % KINDS.len();
    let class = if kind == 0 { Class::of(esr).name() } else { "" };
    let level = CurrentEL.read(CurrentEL::EL);
    console::fatal(format_args!(
        "{} at EL{}{}, at {}: ESR {}, FAR {}",
        Word(KINDS[kind]),
        Decimal(level),
        Word(class),
        Hex(elr, 1),
        Hex(esr, 1),
        Hex(far, 1)
    ));
    power::off()
}

/// The lowest bit of ESR_ELx.EC, the exception class (bits 31 to 26).
pub(crate) const CLASS_SHIFT: u32 = 26;
/// The mask of the HVC or SMC instruction's immediate in the ESR_ELx of its exception.
pub(crate) const CALL_IMMEDIATE: u64 = 0xffff;

/// An exception class, the value of ESR_ELx.EC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(pub(crate) u64);

impl Class {
    /// Unknown reason, such as an undefined instruction.
    const UNKNOWN: Self = Self(0x00);
    /// A trapped access to FP, SIMD or SVE.
    const FP: Self = Self(0x07);
    /// HVC from AArch64.
    pub(crate) const HVC: Self = Self(0x16);
    /// SMC from AArch64.
    pub(crate) const SMC: Self = Self(0x17);
    /// A trapped MSR, MRS or system instruction.
    const SYSTEM: Self = Self(0x18);
    const INSTRUCTION_ABORT_FROM_LOWER: Self = Self(0x20);
    const INSTRUCTION_ABORT: Self = Self(0x21);
    const PC_ALIGNMENT: Self = Self(0x22);
    const DATA_ABORT_FROM_LOWER: Self = Self(0x24);
    const DATA_ABORT: Self = Self(0x25);
    const SP_ALIGNMENT: Self = Self(0x26);

    fn of(esr: u64) -> Self {
        Self((esr >> CLASS_SHIFT) & 0x3f)
    }

    /// Returns the class's name for the message; empty for classes that cannot occur in code
    /// without FP, system calls or a debugger.
    fn name(self) -> &'static str {
        match self {
            Self::UNKNOWN => ", undefined instruction",
            Self::FP => ", FP or SIMD",
            Self::HVC => ", HVC",
            Self::SMC => ", SMC",
            Self::SYSTEM => ", trapped system register",
            Self::INSTRUCTION_ABORT_FROM_LOWER | Self::INSTRUCTION_ABORT => ", instruction abort",
            Self::PC_ALIGNMENT => ", PC alignment",
            Self::DATA_ABORT_FROM_LOWER | Self::DATA_ABORT => ", data abort",
            Self::SP_ALIGNMENT => ", SP alignment",
            _ => "",
        }
    }
}
