// SPDX-License-Identifier: MIT OR Apache-2.0

//! From reset to the first line of Rust.
//!
//! On entry: one of the two states in which QEMU starts the loader (for the flat binary: Linux,
//! `Documentation/arch/arm64/booting.rst`).
//!
//! | | ELF | flat binary |
//! | --- | --- | --- |
//! | x0 | 0; the DTB is at the start of RAM | the DTB's address |
//! | level | EL1; with `virtualization=on` EL2; with `secure=on` EL3, all CPUs | EL1, EL2 |
//! | MMU, caches, interrupts | off | off |
//!
//! On leaving: one CPU runs [`crate::start`] at EL1, with MMU and caches on, a stack, a cleared BSS
//! and exception vectors.

use core::arch::{global_asm, naked_asm};

use aarch64_cpu::registers::{CurrentEL, ID_AA64ISAR0_EL1, MPIDR_EL1, Readable};
use little_loader_core::cpu::features::FEAT_CRC32;

use crate::boot::fatal::Fatal;
use crate::cpu::{el2, el3, mmu, vectors};

/// The flat binary's offset from the start of RAM, in bytes; linker/loader.ld links it there.
const TEXT_OFFSET: u64 = 0x10_0000;

/// Image header flags: little-endian (bit 0 is 0), 4 KiB pages (1 in bits 2:1), anywhere in memory
/// (bit 3).
const FLAGS: u64 = 1 << 1 | 1 << 3;

// The 64-byte Image header (booting.rst, section 4) makes QEMU pass the DTB and load the binary at
// TEXT_OFFSET.
global_asm!(
    ".section .head, \"ax\"",
    ".global _start",
    "_start:",
    "   b      {reset}",
    "   .long  0",
    "   .quad  {text_offset}",
    "   .quad  __image_size",
    "   .quad  {flags}",
    "   .quad  0, 0, 0",
    "   .ascii \"ARM\\x64\"",
    "   .long  0",
    reset = sym reset,
    text_offset = const TEXT_OFFSET,
    flags = const FLAGS,
);

/// The first instructions, reached by the branch at the start of the Image header, in the state
/// that the module's table shows.
#[unsafe(naked)]
#[unsafe(link_section = ".text.first")]
extern "C" fn reset() -> ! {
    naked_asm!(
        // Save the state on entry: x19 = DTB address or 0, x20 = exception level. x21 = the vectors
        // of all levels. The calls below preserve these registers.
        "   mov    x19, x0",
        "   adr    x21, {vectors} - {skipped}",
        "   mrs    x20, CurrentEL",
        "   lsr    x20, x20, #{el_shift}",
        "   and    x20, x20, #{el_mask}",
        "   cmp    x20, #2",
        "   b.eq   2f",
        "   b.hi   3f",

        // EL1: vectors, then MMU and caches, so that all later stores go through the caches.
        "1: msr    vbar_el1, x21",
        "   bl     {enable_mmu}",
        "   b      4f",

        // EL2: continue at EL1. The kernel's level is decided later, from the number of CPUs in the
        // DTB.
        "2: mov    x0, x21",
        "   bl     {drop_to_el1}",
        "   b      1b",

        // EL3: all CPUs start here at once. The first one continues, also at EL1; the others sleep.
        "3: mrs    x1, mpidr_el1",
        "   ldr    x2, ={affinity}",
        "   tst    x1, x2",
        "   b.ne   {park}",
        "   mov    x0, x21",
        "   bl     {drop_to_secure_el1}",
        "   b      1b",

        // Stack and BSS. The linker script aligns both ends to 16 bytes.
        "4: adr    x1, __stack_top",
        "   mov    sp, x1",
        "   adr    x1, __bss_start",
        "   adr    x2, __bss_end",
        "0: cmp    x1, x2",
        "   b.hs   5f",
        "   stp    xzr, xzr, [x1], #16",
        "   b      0b",

        "5: mov    x0, x19",
        "   mov    x1, x20",
        "   b      {start}",
        el_shift = const CurrentEL::EL.shift,
        el_mask = const CurrentEL::EL.mask,
        affinity = const AFFINITY,
        vectors = sym vectors::vectors,
        skipped = const vectors::SKIPPED,
        drop_to_el1 = sym el2::drop_to_el1,
        drop_to_secure_el1 = sym el3::drop_to_secure_el1,
        park = sym el3::park,
        enable_mmu = sym mmu::enable,
        start = sym crate::start,
    )
}

/// The affinity fields of MPIDR_EL1, which are 0 for the first CPU (Arm ARM, D19.2.100).
const AFFINITY: u64 = MPIDR_EL1::Aff0.mask << MPIDR_EL1::Aff0.shift
    | MPIDR_EL1::Aff1.mask << MPIDR_EL1::Aff1.shift
    | MPIDR_EL1::Aff2.mask << MPIDR_EL1::Aff2.shift
    | MPIDR_EL1::Aff3.mask << MPIDR_EL1::Aff3.shift;

/// Checks that the CPU has the instructions that the rest of the loader was compiled for.
///
/// # Errors
///
/// [`Fatal::NoCrc32`] without FEAT_CRC32.
pub(crate) fn check_cpu() -> Result<(), Fatal> {
    if !FEAT_CRC32.is_in(ID_AA64ISAR0_EL1.get()) {
        return Err(Fatal::NoCrc32);
    }
    Ok(())
}
