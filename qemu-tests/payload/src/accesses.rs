// SPDX-License-Identifier: MIT OR Apache-2.0

//! Accesses to a device by instructions for which a CPU gives a hypervisor no syndrome (Arm ARM,
//! ESR_ELx, "ISS encoding for an exception from a Data Abort", ISV). Emulation executes all of
//! them; a hypervisor can only abort those except the plain ones.

use core::arch::asm;

use crate::faults::faults;

/// FR of the PL011, which ignores writes; the next word has no register.
const FLAGS: usize = 0x0900_0018;

/// Tries each kind; returns their names and whether they were aborted. Must be called at EL1.
pub(crate) fn tried() -> [(&'static str, bool); 8] {
    // SAFETY: the payload does not use the registers of FP and SIMD; this only makes them usable.
    unsafe {
        asm!(
            "mrs {bits}, cpacr_el1",
            "orr {bits}, {bits}, #(3 << 20)",
            "msr cpacr_el1, {bits}",
            "isb",
            bits = out(reg) _,
            options(nostack),
        );
    }
    [
        ("load", faults!("ldr w10, [x11]", FLAGS)),
        ("store", faults!("str wzr, [x11]", FLAGS)),
        ("writeback_load", faults!("ldr w10, [x11], #4", FLAGS)),
        ("writeback_store", faults!("str wzr, [x11], #4", FLAGS)),
        ("pair_load", faults!("ldp w10, w12, [x11]", FLAGS)),
        ("pair_store", faults!("stp wzr, wzr, [x11]", FLAGS)),
        // ldr s0, [x11] and str s0, [x11], which the assembler refuses on this target.
        ("simd_load", faults!(".inst 0xbd400160", FLAGS)),
        ("simd_store", faults!(".inst 0xbd000160", FLAGS)),
    ]
}
