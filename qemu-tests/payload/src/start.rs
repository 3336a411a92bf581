// SPDX-License-Identifier: MIT OR Apache-2.0

//! The Image header and the first instructions, which save the state on entry, relocate the payload
//! and set up a stack.

use core::arch::{global_asm, naked_asm};

/// Image header flags: little-endian, 4 KiB pages, anywhere in memory.
const FLAGS: u64 = 0b1010;

/// The relocation type of a plain address (ELF for the Arm 64-bit Architecture, table "Dynamic
/// relocations").
const R_AARCH64_RELATIVE: u64 = 1027;

/// The state on entry. The reset code writes it in this order.
#[repr(C)]
pub(crate) struct Entry {
    /// x0 to x3.
    pub(crate) arguments: [u64; 4],
    /// CNTVCT_EL0, read by the first instructions.
    pub(crate) counter: u64,
    pub(crate) daif: u64,
    pub(crate) current_el: u64,
    /// The address of the first instruction.
    pub(crate) base: u64,
    /// SCTLR of the current exception level.
    pub(crate) sctlr: u64,
    /// The size of the Image in bytes, without those that the harness appended.
    pub(crate) file_size: u64,
    /// The number of bytes that the harness appended, which it wrote into the header's field
    /// `res2`.
    pub(crate) appended: u64,
}

// Linux, Documentation/arch/arm64/booting.rst, section 4. code0 and code1 are the first two
// instructions of the payload.
global_asm!(
    ".section .head, \"ax\"",
    ".global _start",
    "_start:",
    "   mrs    x10, cntvct_el0",
    "   b      {reset}",
    "   .quad  0",
    "   .quad  __image_size",
    "   .quad  {flags}",
    "appended:",
    "   .quad  0, 0, 0",
    "   .ascii \"ARM\\x64\"",
    "   .long  0",
    reset = sym reset,
    flags = const FLAGS,
);

#[unsafe(naked)]
unsafe extern "C" fn reset() -> ! {
    naked_asm!(
        // Relocate: each entry of .rela.dyn has an offset, a type and an addend.
        "   adr    x11, _start",
        "   adrp   x12, __rela_start",
        "   add    x12, x12, :lo12:__rela_start",
        "   adrp   x13, __rela_end",
        "   add    x13, x13, :lo12:__rela_end",
        "0: cmp    x12, x13",
        "   b.hs   2f",
        "   ldp    x14, x15, [x12], #16",
        "   ldr    x16, [x12], #8",
        "   cmp    x15, #{relative}",
        "   b.ne   0b",
        "   add    x16, x16, x11",
        "   str    x16, [x14, x11]",
        "   b      0b",

        // Set up a stack. BSS is part of the file and therefore already zero.
        "2: adrp   x13, __stack_top",
        "   add    x13, x13, :lo12:__stack_top",
        "   mov    sp, x13",

        // Store the state on entry as an `Entry`.
        "   sub    sp, sp, #96",
        "   stp    x0, x1, [sp]",
        "   stp    x2, x3, [sp, #16]",
        "   mrs    x0, daif",
        "   stp    x10, x0, [sp, #32]",
        "   mrs    x0, CurrentEL",
        "   lsr    x0, x0, #2",
        "   stp    x0, x11, [sp, #48]",
        "   mov    x1, #0",
        "   cmp    x0, #1",
        "   b.ne   1f",
        "   mrs    x1, sctlr_el1",
        "   b      2f",
        "1: cmp    x0, #2",
        "   b.ne   2f",
        "   mrs    x1, sctlr_el2",
        "2: adrp   x2, __file_end",
        "   add    x2, x2, :lo12:__file_end",
        "   sub    x2, x2, x11",
        "   stp    x1, x2, [sp, #64]",
        "   adr    x1, appended",
        "   ldr    x1, [x1]",
        "   str    x1, [sp, #80]",
        "   mov    x0, sp",
        "   b      {start}",
        relative = const R_AARCH64_RELATIVE,
        start = sym crate::start,
    )
}
