// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system registers of this CPU, for the set-up code in little_loader_core.

use core::arch::asm;

use aarch64_cpu::asm::barrier;
use little_loader_core::cpu::access::SystemRegisters;
use little_loader_core::cpu::registers::Register;

/// Access to the system registers at the current exception level.
pub(crate) struct ThisCpu(());

impl ThisCpu {
    /// # Safety
    ///
    /// Every register accessed through the result exists on this CPU and at the current exception
    /// level, and writes to it change nothing that running Rust code relies on: the translation and
    /// caching of its memory.
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl SystemRegisters for ThisCpu {
    fn read<const REGISTER: u16>(&self, _: Register<REGISTER>) -> u64 {
        let value: u64;
        if const { is_identification(REGISTER) } {
            // SAFETY: reading has no effect, and registers of this space that the CPU does not have
            // read as 0.
            unsafe {
                asm!(
                    "mrs {value}, S{op0}_{op1}_C{crn}_C{crm}_{op2}",
                    value = out(reg) value,
                    op0 = const op0(REGISTER),
                    op1 = const op1(REGISTER),
                    crn = const crn(REGISTER),
                    crm = const crm(REGISTER),
                    op2 = const op2(REGISTER),
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        } else {
            // SAFETY: reading has no effect; the caller of `new` promised that the register exists.
            unsafe {
                asm!(
                    "mrs {value}, S{op0}_{op1}_C{crn}_C{crm}_{op2}",
                    value = out(reg) value,
                    op0 = const op0(REGISTER),
                    op1 = const op1(REGISTER),
                    crn = const crn(REGISTER),
                    crm = const crm(REGISTER),
                    op2 = const op2(REGISTER),
                    options(nostack, preserves_flags),
                );
            }
        }
        value
    }

    fn write<const REGISTER: u16>(&mut self, _: Register<REGISTER>, value: u64) {
        // SAFETY: the caller of `new` promised that the register exists, and that the write changes
        // nothing that Rust relies on.
        unsafe {
            asm!(
                "msr S{op0}_{op1}_C{crn}_C{crm}_{op2}, {value}",
                value = in(reg) value,
                op0 = const op0(REGISTER),
                op1 = const op1(REGISTER),
                crn = const crn(REGISTER),
                crm = const crm(REGISTER),
                op2 = const op2(REGISTER),
                options(nostack, preserves_flags),
            );
        }
    }

    fn synchronize(&mut self) {
        barrier::isb(barrier::SY);
    }
}

/// Whether this is an identification register, whose value never changes, so that the compiler may
/// omit repeated reads (Arm ARM, D19.1, "op0==0b11, Moves to and from non-debug System registers":
/// op1 and CRn are 0).
const fn is_identification(encoding: u16) -> bool {
    op0(encoding) == 3 && op1(encoding) == 0 && crn(encoding) == 0
}

const fn op0(encoding: u16) -> u16 {
    encoding >> 14
}

const fn op1(encoding: u16) -> u16 {
    (encoding >> 11) & 0b111
}

const fn crn(encoding: u16) -> u16 {
    (encoding >> 7) & 0b1111
}

const fn crm(encoding: u16) -> u16 {
    (encoding >> 3) & 0b1111
}

const fn op2(encoding: u16) -> u16 {
    encoding & 0b111
}
